//! The paths in a Rust file: a partial parser, sufficient to find them.

/// The paths in a file, outside its tests.
#[derive(Debug, Default, PartialEq)]
pub struct Paths {
    /// Paths in `use`, each with the imported name.
    pub imports: Vec<(Vec<String>, String)>,
    /// All other paths with more than one segment.
    pub others: Vec<Vec<String>>,
}

pub fn paths(text: &str) -> Paths {
    let tokens = tokens(text);
    let (mut found, mut at) = (Paths::default(), 0);
    while let Some(&token) = tokens.get(at) {
        match token {
            "#" => at = after_attribute(&tokens, at),
            "use" => at = import(&tokens, at + 1, &[], &mut found.imports),
            _ if is_name(token) => {
                let mut path = vec![token.to_owned()];
                while let (Some(&"::"), Some(next)) = (tokens.get(at + 1), tokens.get(at + 2))
                    && is_name(next)
                {
                    path.push((*next).to_owned());
                    at += 2;
                }
                if path.len() > 1 {
                    found.others.push(path);
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    found
}

/// The position after an attribute; if the attribute is `cfg(test)`, the position after the item it applies to.
fn after_attribute(tokens: &[&str], at: usize) -> usize {
    let is_inner = tokens.get(at + 1) == Some(&"!");
    let end = after_brackets(tokens, at + 1 + usize::from(is_inner));
    let attribute = &tokens[at..end];
    let for_tests = attribute.contains(&"cfg") && attribute.contains(&"test") && !attribute.contains(&"not");
    if !for_tests || is_inner {
        return end;
    }
    let mut at = end;
    while let Some(&token) = tokens.get(at) {
        match token {
            ";" => return at + 1,
            "{" => return after_brackets(tokens, at),
            "(" | "[" => at = after_brackets(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The position after the bracket that closes the one at `at`; `at + 1` if there is no bracket.
fn after_brackets(tokens: &[&str], at: usize) -> usize {
    let mut depth = 0;
    for (number, token) in tokens.iter().enumerate().skip(at) {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth <= 0 {
            return number + 1;
        }
    }
    tokens.len()
}

/// Reads a `use` tree below the path `above`; returns its end.
fn import(tokens: &[&str], mut at: usize, above: &[String], imports: &mut Vec<(Vec<String>, String)>) -> usize {
    let (mut path, mut name) = (above.to_vec(), None);
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    at = import(tokens, at, &path, imports);
                }
                path.clear();
            }
            Some(&"as") => {
                name = tokens.get(at + 1).map(|name| (*name).to_owned());
                at += 1;
            }
            Some(&"self") if path.len() > above.len() || !above.is_empty() => {}
            Some(token) if is_name(token) => path.push((*token).to_owned()),
            Some(&"::" | &"*") => {}
            // The end of this tree: `;`, `,` or the enclosing bracket.
            _ => break,
        }
        at += 1;
    }
    if let Some(last) = path.last() {
        let name = name.unwrap_or_else(|| last.clone());
        imports.push((path, name));
    }
    at + usize::from(tokens.get(at).is_some_and(|token| *token != "}"))
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single characters, without comments and quoted text.
fn tokens(text: &str) -> Vec<&str> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            'r' | 'b' | 'c' if raw(rest).is_some() => raw(rest).unwrap_or(rest.len()),
            '\'' => character(rest),
            _ if first.is_whitespace() => first.len_utf8(),
            _ => {
                let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let length = if name > 0 {
                    name
                } else if rest.starts_with("::") {
                    2
                } else {
                    first.len_utf8()
                };
                tokens.push(&rest[..length]);
                length
            }
        };
        rest = &rest[length..];
    }
    tokens
}

/// Length in bytes of the string at the beginning of `text`.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// Length in bytes of the raw string at the beginning of `text`, if there is one.
fn raw(text: &str) -> Option<usize> {
    let marks = text.strip_prefix("r").or_else(|| text.strip_prefix("br")).or_else(|| text.strip_prefix("cr"))?;
    let inner = marks.trim_start_matches('#');
    let end = format!("\"{}", &marks[..marks.len() - inner.len()]);
    let inner = inner.strip_prefix('"')?;
    let start = text.len() - inner.len();
    Some(inner.find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// Length in bytes of the quoted character at the beginning of `text`, or of the quote alone if it begins a lifetime.
fn character(text: &str) -> usize {
    let inner = &text[1..];
    if let Some(escaped) = inner.strip_prefix('\\') {
        let code = escaped.chars().next().map_or(0, char::len_utf8);
        return escaped.get(code..).and_then(|rest| rest.find('\'')).map_or(text.len(), |end| 2 + code + end + 1);
    }
    let length = inner.chars().next().map_or(0, char::len_utf8);
    if inner.get(length..).is_some_and(|rest| rest.starts_with('\'')) { 2 + length } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let text = r##"
            //! crate::comment::none
            use crate::{Error, a::{self, b::C as D}};
            pub(crate) use super::e;
            /* crate::block::none */
            const QUOTES: [char; 3] = ['"', '\'', '\\'];
            fn f<'a>(x: &'a str) -> g::H<'a> { crate::i::j("crate::string::none \" ", r#"k::"none"#); 'l: loop {} }
            #[cfg(test)]
            use crate::none::at::all;
            #[cfg(not(test))]
            use crate::m;
            #[cfg(test)]
            mod tests { use crate::none; fn n() { crate::none::f() } }
            fn last() -> o::p::Q {}
        "##;
        let found = paths(text);
        let imports: Vec<_> = found.imports.iter().map(|(path, name)| (path.join("::"), name.as_str())).collect();
        let expected = [("crate::Error", "Error"), ("crate::a", "a"), ("crate::a::b::C", "D"), ("super::e", "e")];
        assert_eq!(imports[..4], expected.map(|(path, name)| (path.to_owned(), name)));
        assert_eq!(imports[4..], [("crate::m".to_owned(), "m")]);
        let others: Vec<_> = found.others.iter().map(|path| path.join("::")).collect();
        assert_eq!(others, ["g::H", "crate::i::j", "o::p::Q"]);
    }
}
