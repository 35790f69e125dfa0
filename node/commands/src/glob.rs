//! Redis's glob patterns, as KEYS, SCAN, CONFIG GET and COMMAND LIST match them.
//!
//! `*` any bytes, `?` one byte, `[abc]` `[a-z]` `[^a]` one of a class, `\` takes the next byte as it
//! is. Odd forms mean what they mean in Redis 7.0: a class may lack its `]` at the end of the
//! pattern, `[]` matches nothing, the `]` in `[a-]` is the end of a range, a lone `\` at the end
//! stands for itself, and only the empty pattern and `*` match the empty string.

/// Whether `text` as a whole matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, |byte| byte)
}

/// [`matches()`], without regard to the case of ASCII letters.
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// The time is at most proportional to `pattern.len() * text.len()`: on a mismatch only the last
/// `*` is retried one byte further on. An earlier one need not be: whatever it could skip, the last
/// one can skip as well.
fn matches_with(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    if text.is_empty() {
        return pattern.is_empty() || pattern == b"*";
    }
    let (mut rest, mut at) = (pattern, 0);
    let mut last_star = None;
    while at < text.len() {
        if let [b'*', after @ ..] = rest {
            last_star = Some((after, at));
            rest = after;
        } else if let Some(after) = match_one(rest, text[at], fold) {
            rest = after;
            at += 1;
        } else if let Some((after, from)) = last_star {
            if after.is_empty() {
                return true;
            }
            last_star = Some((after, from + 1));
            rest = after;
            at = from + 1;
        } else {
            return false;
        }
    }
    rest.iter().all(|&byte| byte == b'*')
}

/// Matches one byte against the first element of `pattern`, which is not `*`; returns what follows
/// the element.
#[inline]
fn match_one(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<&[u8]> {
    let (expected, after) = match pattern {
        [] => return None,
        [b'?', after @ ..] => return Some(after),
        [b'[', class @ ..] => return match_class(class, byte, fold),
        [b'\\', expected, after @ ..] | [expected, after @ ..] => (*expected, after),
    };
    (fold(expected) == fold(byte)).then_some(after)
}

/// Matches one byte against the class whose `[` precedes `class`.
fn match_class(class: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<&[u8]> {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        rest = match rest {
            // Redis compares an escaped member with regard to case, always.
            [b'\\', member, after @ ..] => {
                found |= *member == byte;
                after
            }
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [first, b'-', last, after @ ..] => {
                let (first, last) = (fold(*first), fold(*last));
                found |= (first.min(last)..=first.max(last)).contains(&fold(byte));
                after
            }
            [member, after @ ..] => {
                found |= fold(*member) == fold(byte);
                after
            }
        };
    }
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts of KEYS of Redis 7.0.15.
    #[test]
    fn as_redis_does() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("**", "", false),
            ("", "", true),
            ("?", "", false),
            ("", "a", false),
            ("[]a", "a", false),
            ("[^]a", "ba", true),
            ("[^]", "b", true),
            ("a[", "a", false),
            ("[", "a", false),
            ("[a", "a", true),
            ("[^", "a", true),
            ("\\", "\\", true),
            ("a\\", "a\\", true),
            ("[\\]]", "]", true),
            ("[z-a]", "m", true),
            ("[a-]", "-", false),
            ("[a-]", "a", true),
            ("[a-", "-", true),
            ("[a-", "b", false),
            ("[--/]", ".", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a**", "a", true),
            ("*?", "a", true),
            ("[]-a]", "^", false),
            ("[]-a]", "_", false),
            ("[\\a-c]", "b", false),
            ("[\\a-c]", "-", true),
            ("[^a-c]", "d", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[^^]", "^", false),
            ("[!a]", "b", false),
            ("[a]*", "ab", true),
            ("\\\\", "\\", true),
            ("[\\", "\\", true),
            ("[a\\", "\\", true),
            ("*[", "a[", false),
            ("**a", "ba", true),
            ("[a-b-d]", "c", false),
            ("[^b-", "a", true),
            ("h?llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("abc", "abcd", false),
            ("abcd", "abc", false),
        ] {
            let verdict = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(verdict, expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn case() {
        assert!(!matches(b"ABC*", b"abcd"));
        assert!(matches_nocase(b"ABC*", b"abcd"));
        assert!(matches_nocase(b"[A-C]x", b"bX"));
        assert!(!matches_nocase(b"[\\A]", b"a"));
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let text = vec![b'a'; 20_000];
        let mut pattern = b"a*".repeat(500);
        pattern.push(b'b');
        assert!(!matches(&pattern, &text));
        pattern.pop();
        assert!(matches(&pattern, &text));
    }
}
