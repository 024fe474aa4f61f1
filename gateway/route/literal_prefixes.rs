//! What every text begins with that a regex matches: `/v[12]/.*` gives `/v1/` and `/v2/`.

use regex::bytes::Regex;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Look;
use regex_syntax::hir::literal::Extractor;

/// More of them than this are not worth an entry each.
const MOST: usize = 16;

/// The literal texts of which each matching text begins with one; none where they cannot be told,
/// or where one of them would be empty. The regex must match whole texts, as those of paths do.
pub(super) fn literal_prefixes(regex: &Regex) -> Option<Vec<Box<[u8]>>> {
    // As the regex itself was read; it was, so that this succeeds.
    let mut parser = ParserBuilder::new().utf8(false).build();
    let pattern = parser.parse(regex.as_str()).ok()?;
    if !pattern.properties().look_set_prefix().contains(Look::Start) {
        return None;
    }
    let mut extractor = Extractor::new();
    extractor.limit_total(MOST);
    let literals = extractor.extract(&pattern);
    let mut prefixes: Vec<Box<[u8]>> = literals
        .literals()?
        .iter()
        .map(|literal| literal.as_bytes().into())
        .collect();
    prefixes.sort_unstable();
    // What begins with another one is found by that.
    prefixes.dedup_by(|longer, shorter| longer.starts_with(shorter));
    let is_told = !prefixes.is_empty() && prefixes.iter().all(|prefix| !prefix.is_empty());
    is_told.then_some(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(pattern: &str) -> Option<Vec<String>> {
        let regex = Regex::new(&format!("\\A(?:{pattern})\\z")).unwrap();
        let found = literal_prefixes(&regex)?;
        let text = |prefix: &[u8]| String::from_utf8(prefix.to_vec()).unwrap();
        Some(found.iter().map(|prefix| text(prefix)).collect())
    }

    #[test]
    fn what_must_stand_at_the_beginning_is_found() {
        assert_eq!(prefixes("/api/.*"), Some(vec!["/api/".to_owned()]));
        let both = vec!["/a".to_owned(), "/b".to_owned()];
        assert_eq!(prefixes("/a.*|/b[0-9]*"), Some(both));
        assert_eq!(prefixes("/v[12]").map(|found| found.len()), Some(2));
        assert_eq!(prefixes("(?i)/x").map(|found| found.len()), Some(2));
    }

    #[test]
    fn where_anything_may_stand_nothing_is() {
        assert_eq!(prefixes(".*/api"), None);
        assert_eq!(prefixes("(/a)?.*"), None);
        assert_eq!(prefixes("[^/]+/x"), None);
        let anywhere = Regex::new("/api/").unwrap();
        assert_eq!(literal_prefixes(&anywhere), None);
    }
}
