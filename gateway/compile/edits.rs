//! Header edits, made ready: what does not change from request to request is filled in here.

use gatehouse_config::model::{HeaderEdit, HeaderValueTemplate, ValuePiece};

use crate::snapshot::{Edit, Template};

/// `route` is the name of the route that they belong to.
pub(super) fn compile(edits: &[HeaderEdit], route: &str) -> Box<[Edit]> {
    let template = |value| template(value, route);
    edits
        .iter()
        .map(|edit| match edit {
            HeaderEdit::Set(name, value) => Edit::Set(name.as_str().into(), template(value)),
            HeaderEdit::Add(name, value) => Edit::Add(name.as_str().into(), template(value)),
            HeaderEdit::Remove(name) => Edit::Remove(name.as_str().into()),
        })
        .collect()
}

fn template(value: &HeaderValueTemplate, route: &str) -> Template {
    let mut pieces: Vec<ValuePiece> = Vec::with_capacity(value.pieces.len());
    for piece in &value.pieces {
        let piece = fixed(piece, route).map_or_else(|| piece.clone(), ValuePiece::Literal);
        match (pieces.last_mut(), piece) {
            (Some(ValuePiece::Literal(before)), ValuePiece::Literal(text)) => {
                before.push_str(&text);
            }
            (_, piece) => pieces.push(piece),
        }
    }
    match pieces.as_slice() {
        [] => Template::Literal(Box::default()),
        [ValuePiece::Literal(text)] => Template::Literal(text.as_bytes().into()),
        _ => Template::Pieces(pieces.into()),
    }
}

/// The text of a piece that is the same for every request. Bytes that no header may hold (a line
/// break in a variable of the environment) are left out.
fn fixed(piece: &ValuePiece, route: &str) -> Option<String> {
    let text = match piece {
        ValuePiece::RouteName => route.to_owned(),
        ValuePiece::Hostname => {
            let name = rustix::system::uname();
            name.nodename().to_string_lossy().into_owned()
        }
        ValuePiece::Environment { name, max_length } => {
            let value = std::env::var_os(name).unwrap_or_default();
            let value = value.to_string_lossy();
            let length = max_length.unwrap_or(usize::MAX);
            value.chars().take(length).collect()
        }
        _ => return None,
    };
    Some(text.chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_for_every_request_becomes_a_literal() {
        let literal = |text: &str| ValuePiece::Literal(text.to_owned());
        let value = HeaderValueTemplate {
            pieces: vec![
                literal("<"),
                ValuePiece::RouteName,
                ValuePiece::Environment {
                    name: "GATEHOUSE_NO_SUCH_VARIABLE".to_owned(),
                    max_length: None,
                },
                literal(">"),
            ],
        };
        let Template::Literal(text) = template(&value, "one") else {
            panic!("nothing of it changes")
        };
        assert_eq!(*text, *b"<one>");
        let host = HeaderValueTemplate {
            pieces: vec![ValuePiece::Hostname],
        };
        assert!(matches!(template(&host, ""), Template::Literal(text) if !text.is_empty()));
    }
}
