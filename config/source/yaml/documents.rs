//! A file cut at its `---` lines, so that one broken document does not take the next one with it.
//!
//! The cut is exact: three dashes at the start of a line mark a document even inside a block or
//! quoted scalar (YAML 1.2.2 §9.1.2).

/// A piece of a file that is parsed on its own: one document, rarely more (after `...`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'t> {
    /// The text.
    pub text: &'t str,
    /// How many lines of the file stand before it.
    pub lines_before: u32,
}

/// The chunks of a file. Those without a document (blank lines and comments only) are left out.
pub fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    let (mut begin, mut lines_before, mut content) = (0, 0, Content::Nothing);
    let mut offset = 0;
    for (number, line) in (0u32..).zip(text.split_inclusive('\n')) {
        let marker = is_marker(line);
        if marker && content != Content::Directives {
            if content == Content::Document {
                found.push((begin..offset, lines_before));
            }
            (begin, lines_before, content) = (offset, number, Content::Nothing);
        }
        content = match line.trim() {
            _ if content == Content::Document => content,
            // `--- # comment` alone is an empty document: null, nothing to read.
            _ if marker && bare_marker(line) => Content::Nothing,
            "" => content,
            trimmed if trimmed.starts_with('#') => content,
            _ if line.starts_with('%') => Content::Directives,
            _ => Content::Document,
        };
        offset += line.len();
    }
    if content != Content::Nothing {
        found.push((begin..offset, lines_before));
    }
    found
        .into_iter()
        .filter_map(|(range, lines_before)| {
            let text = text.get(range)?;
            Some(Chunk { text, lines_before })
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Nothing,
    /// `%YAML` and `%TAG` lines belong to the `---` that follows.
    Directives,
    Document,
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn bare_marker(line: &str) -> bool {
    let rest = line.get(3..).unwrap_or_default().trim();
    rest.is_empty() || rest.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(&str, u32)> {
        let chunks = chunks(text);
        chunks.iter().map(|c| (c.text, c.lines_before)).collect()
    }

    #[test]
    fn documents_are_cut_at_their_markers() {
        assert_eq!(
            cut("a: 1\n---\nb: 2\n"),
            [("a: 1\n", 0), ("---\nb: 2\n", 1)]
        );
        assert_eq!(
            cut("---\na: 1\n--- {b: 2}"),
            [("---\na: 1\n", 0), ("--- {b: 2}", 2)]
        );
        assert_eq!(cut("\u{feff}a: |\n  x\n---\n"), [("a: |\n  x\n", 0)]);
        assert_eq!(cut("a: ---\nb: ----\n"), [("a: ---\nb: ----\n", 0)]);
        assert_eq!(
            cut("a: 1\r\n---\r\nb: 2\r\n"),
            [("a: 1\r\n", 0), ("---\r\nb: 2\r\n", 1)]
        );
    }

    #[test]
    fn empty_documents_are_left_out() {
        assert!(cut("").is_empty());
        assert!(cut("# only a comment\n---\n\n--- # and another\n---\n").is_empty());
    }

    #[test]
    fn directives_belong_to_the_next_document() {
        let text = "%YAML 1.2\n---\na: 1\n";
        assert_eq!(cut(text), [(text, 0)]);
    }
}
