//! A look at the messages of a file before they are decoded: how many there are, and how deep they are nested.

use super::Found;
use crate::base::{Result, error::Place};

/// Nesting of messages; a plain graph has about 5, a branch within a branch 4 more each.
const DEEPEST: usize = 64;

/// A type of message in ONNX, as far as others are inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Value,
    Type,
    Shape,
    Annotation,
    Training,
    Function,
    /// Without messages inside that could be many.
    Leaf,
}

impl Message {
    /// The message in a field of that number, by onnx.proto; none where a text, bytes or packed numbers stand.
    fn inside(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Graph, 11..=13) => Self::Value,
            (Self::Graph, 14) => Self::Annotation,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 6 | 11) | (Self::Training, 1 | 2) => Self::Graph,
            (Self::Value, 2) | (Self::Attribute, 15) => Self::Type,
            // A tensor's type, then its shape, then the dimensions.
            (Self::Type, 1) => Self::Shape,
            (Self::Shape, 2) | (Self::Annotation, 2) => Self::Leaf,
            (Self::Leaf, 1) => Self::Leaf,
            _ => return None,
        })
    }
}

/// Fails where the bytes are not nested messages, or hold too many.
pub(super) fn check(bytes: &[u8], found: Found) -> Result<()> {
    let mut walk = Walk { records: 0, limit: found.limits.records };
    walk.message(bytes, Message::Model, 0)
        .map_err(|problem| found.wrong(Place::whole(), format!("not an ONNX model ({problem})")))
}

struct Walk {
    records: usize,
    limit: usize,
}

impl Walk {
    fn message(&mut self, mut rest: &[u8], message: Message, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("its messages are nested more than {DEEPEST} deep"));
        }
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let length = match key & 7 {
                0 => {
                    varint(&mut rest)?;
                    0
                }
                1 => 8,
                2 => varint(&mut rest)?,
                5 => 4,
                kind => return Err(format!("a field of the unknown kind {kind}")),
            };
            let cut = || "the file ends in the middle of a message".to_owned();
            let length = usize::try_from(length).map_err(|_| cut())?;
            let (field, after) = rest.split_at_checked(length).ok_or_else(cut)?;
            rest = after;
            if key & 7 == 2 {
                self.records += 1;
                if self.records > self.limit {
                    return Err(format!("it has more than {} messages and texts", self.limit));
                }
                if let Some(inside) = message.inside(key >> 3) {
                    self.message(field, inside, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

/// A number of up to ten bytes, seven bits in each, the lowest first.
fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for place in 0..10 {
        let (&byte, after) = rest.split_first().ok_or("the file ends in the middle of a number")?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number of more than ten bytes".to_owned())
}
