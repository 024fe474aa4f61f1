//! Header edits, made ready.

use gatehouse_config::model::{HeaderEdit, HeaderValueTemplate, ValuePiece};

use crate::snapshot::{Edit, Template};

pub(super) fn compile(edits: &[HeaderEdit]) -> Box<[Edit]> {
    edits
        .iter()
        .map(|edit| match edit {
            HeaderEdit::Set(name, value) => Edit::Set(name.as_str().into(), template(value)),
            HeaderEdit::Add(name, value) => Edit::Add(name.as_str().into(), template(value)),
            HeaderEdit::Remove(name) => Edit::Remove(name.as_str().into()),
        })
        .collect()
}

fn template(value: &HeaderValueTemplate) -> Template {
    match value.pieces.as_slice() {
        [] => Template::Literal(Box::default()),
        [ValuePiece::Literal(text)] => Template::Literal(text.as_bytes().into()),
        pieces => Template::Pieces(pieces.into()),
    }
}
