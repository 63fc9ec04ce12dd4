//! A manual page in the macros of man(7), as every `man` and `mandoc` reads them.

use std::fmt::Write as _;

/// A page as it is written.
pub struct Page {
    text: String,
    /// Whether a heading or an item stands right above: then no paragraph is begun.
    begun: bool,
}

impl Page {
    /// A page of that section, with what it is about in a few words.
    pub fn new(name: &str, section: u8, about: &str) -> Page {
        let title = name.to_uppercase();
        let mut page = Page { text: String::new(), begun: false };
        let _ = writeln!(page.text, ".TH {title} {section} \"\" \"osc-agent\" \"Storage Connect agent\"");
        page.section("Name");
        let _ = writeln!(page.text, "{} \\- {}", escape(name), escape(about));
        page
    }

    /// The page.
    pub fn text(self) -> String {
        self.text
    }

    /// A heading.
    pub fn section(&mut self, title: &str) {
        let title = title.strip_suffix('.').unwrap_or(title).to_uppercase();
        // Within quotes, a quote is written twice.
        let _ = writeln!(self.text, ".SH \"{}\"", escape(&title).replace('"', "\"\""));
        self.begun = true;
    }

    /// What is explained by what is said next.
    pub fn item(&mut self, term: &str) {
        let _ = writeln!(self.text, ".TP\n{}", styled(term));
        self.begun = true;
    }

    /// A paragraph; `**so**` is bold.
    pub fn say(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.begun {
            self.text.push_str(".PP\n");
        }
        let _ = writeln!(self.text, "{}", styled(text));
        self.begun = false;
    }

    /// Items below an item.
    pub fn deeper(&mut self, write: impl FnOnce(&mut Page)) {
        let before = self.text.len();
        self.text.push_str(".RS\n");
        let empty = self.text.len();
        write(self);
        if self.text.len() == empty {
            self.text.truncate(before);
        } else {
            self.text.push_str(".RE\n");
        }
        self.begun = false;
    }

    /// Lines as they are.
    pub fn verbatim(&mut self, lines: &str) {
        let _ = writeln!(self.text, ".nf\n{}\n.fi", escape(lines));
        self.begun = false;
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    // A line that begins so would be a request.
    let guarded =
        |line: &str| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() };
    text.split('\n').map(guarded).collect::<Vec<_>>().join("\n")
}

fn styled(text: &str) -> String {
    let text = text.replace('`', "");
    let parts = text.split("**").enumerate();
    parts
        .map(|(at, part)| if at % 2 == 1 { format!("\\fB{}\\fR", escape(part)) } else { escape(part) })
        .collect()
}
