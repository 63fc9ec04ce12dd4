//! Words as a shell splits them.

/// One word; `quoted` where it begins with a quote, and so is a value whatever it looks like.
pub(super) struct Word {
    pub text: String,
    pub quoted: bool,
}

/// The key and the value of a word that has both.
pub(super) fn pair(word: &Word) -> Option<(&str, &str)> {
    if word.quoted { None } else { word.text.split_once('=').filter(|(key, _)| is_key(key)) }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Splits as a shell does: blanks, `'…'`, `"…"` with backslashes, and backslashes.
pub(super) fn split(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let Some(first) = letters.peek() else { return Ok(words) };
        let mut word = Word { text: String::new(), quoted: matches!(first, '\'' | '"') };
        while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
            match letter {
                '\'' | '"' => loop {
                    match letters.next() {
                        None => return Err(format!("the quote {letter} is not closed")),
                        Some(end) if end == letter => break,
                        Some('\\') if letter == '"' => word.text.extend(letters.next()),
                        Some(other) => word.text.push(other),
                    }
                },
                '\\' => match letters.next() {
                    Some(next) => word.text.push(next),
                    None => return Err("a backslash ends the request".into()),
                },
                other => word.text.push(other),
            }
        }
        words.push(word);
    }
}
