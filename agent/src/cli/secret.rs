//! What must not be on a command line, and what should not happen by accident: passwords from
//! files or the terminal, and confirmations.

use std::io::{self, BufRead, IsTerminal, Write};

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::failure::{Failure, Outcome};

const CTRL_C: u8 = 3;

/// A password; wiped when dropped.
pub type Password = Zeroizing<String>;

/// Reads the first line of a file; `-` is standard input.
///
/// # Errors
/// When there is none.
pub fn from_file(path: &str) -> Outcome<Password> {
    let cannot =
        |error: io::Error| Failure::usage(format!("the password cannot be read from {path}: {error}"));
    let mut line = Zeroizing::new(String::new());
    match path {
        "-" => io::stdin().lock().read_line(&mut line),
        path => std::fs::File::open(path).and_then(|file| io::BufReader::new(file).read_line(&mut line)),
    }
    .map_err(cannot)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage(format!("there is no password in the first line of {path}")));
    }
    Ok(Zeroizing::new(password.to_owned()))
}

/// Asks on the terminal, with echo off.
///
/// # Errors
/// When standard input is no terminal, or nothing was typed.
pub fn ask(prompt: &str) -> Outcome<Password> {
    let stdin = io::stdin();
    let old = tcgetattr(&stdin).map_err(|_| {
        Failure::usage("a password can be asked for on a terminal only")
            .hint("use --admin-password-file FILE, or -")
    })?;
    let mut quiet = old.clone();
    // Ctrl-C ends the line instead of the program, which would leave the terminal without echo.
    quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
    quiet.local_flags.insert(LocalFlags::ECHONL);
    quiet.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &quiet)
        .map_err(|error| Failure::local("the terminal's echo cannot be turned off", error))?;
    eprint!("{prompt}");
    let _ = io::stderr().flush();
    // A terminal gives a line at a time, with whatever character ended it.
    let mut line = Zeroizing::new([0_u8; 1024]);
    let typed = nix::unistd::read(&stdin, &mut line[..]);
    let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &old);
    let typed = typed.map_err(|error| Failure::local("the password cannot be read", error))?;
    let text =
        std::str::from_utf8(&line[..typed]).map_err(|_| Failure::usage("the password is not UTF-8"))?;
    match text.trim_end_matches(['\r', '\n']) {
        stopped if stopped.is_empty() || stopped.contains(char::from(CTRL_C)) => {
            Err(Failure::usage("nothing was done: no password was given"))
        }
        password => Ok(Zeroizing::new(password.to_owned())),
    }
}

/// Asks before something that cannot be undone; only where somebody sits at a terminal, and not
/// with `--yes`.
///
/// # Errors
/// When the answer is not yes.
pub fn confirm(question: &str, yes: bool) -> Outcome {
    if yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    let _ = io::stdin().lock().read_line(&mut line);
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage("nothing was done").hint("--yes answers the question beforehand")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_of_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        let name = path.to_str().expect("a UTF-8 path");
        for (content, right) in
            [("s3cret\n", Some("s3cret")), ("a b \r\nmore\n", Some("a b ")), ("\nlate\n", None)]
        {
            std::fs::write(&path, content).expect("it is written");
            assert_eq!(from_file(name).ok().as_deref().map(String::as_str), right);
        }
        assert_eq!(from_file("/nonexistent").expect_err("there is none").status, 2);
    }
}
