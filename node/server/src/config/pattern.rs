//! Glob patterns over directive names.

/// Whether `name` matches a glob `pattern` (`*`, `?`, `[a-z]`, `[^a]`, `\x`) in any case.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on after a mismatch: behind the last star, one character later each time. Earlier stars need no
    // second try, since the last one can take whatever they could.
    let mut retry: Option<(&[u8], &[u8])> = None;
    let (mut pattern, mut rest) = (pattern, name);
    loop {
        if let [b'*', after @ ..] = pattern {
            retry = Some((after, rest));
            pattern = after;
            continue;
        }
        match rest {
            [] if pattern.is_empty() => return true,
            [byte, after @ ..] => {
                if let Some(next) = match_one(pattern, *byte) {
                    (pattern, rest) = (next, after);
                    continue;
                }
            }
            [] => {}
        }
        match retry {
            Some((after_star, [_, later @ ..])) => {
                retry = Some((after_star, later));
                (pattern, rest) = (after_star, later);
            }
            _ => return false,
        }
    }
}

/// Matches one character; what is left of the pattern.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let matched = |yes: bool, rest| yes.then_some(rest);
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', class @ ..] => {
            let (yes, rest) = match_class(class, byte);
            matched(yes, rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            matched(literal.eq_ignore_ascii_case(&byte), rest)
        }
    }
}

/// Matches a class whose `[` has been read; an unclosed one ends with the pattern.
fn match_class(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let byte = byte.to_ascii_lowercase();
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        class = match class {
            [] => return (found != negated, class),
            [b']', rest @ ..] => return (found != negated, rest),
            [b'\\', literal, rest @ ..] => {
                found |= literal.eq_ignore_ascii_case(&byte);
                rest
            }
            [from, b'-', to, rest @ ..] => {
                let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= literal.eq_ignore_ascii_case(&byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_stock_does() {
        let cases = [
            ("*", "port", true),
            ("P*T", "port", true),
            ("p?rt", "port", true),
            ("p?t", "port", false),
            ("[a-p]ort", "port", true),
            ("[^a-p]ort", "port", false),
            ("*o*t*", "port", true),
            ("*-*-to", "min-replicas-to", true),
            ("port*", "port", true),
            ("\\port", "port", true),
            ("", "port", false),
            ("[port", "p", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
