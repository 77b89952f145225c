//! The results of `attend` as a safetensors file (command line, `attend`).

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::tensors::Tensor;
use crate::handoff::output::{OutputError, write_file};

/// What an attention run gives back; what a run does not compute is `None` and is not written.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionOutput {
    /// `out` `[layers, heads, queries, d]`, zeros where pruned.
    pub out: Tensor,
    /// `token_importance` `[layers, keys]`, float32.
    pub token_importance: Option<Vec<Vec<f32>>>,
    /// `head_importance` `[layers, heads]`, float32.
    pub head_importance: Option<Vec<Vec<f32>>>,
    /// `kept_tokens` `[layers, keys]`, uint8 flags: the token took part in this layer.
    pub kept_tokens: Option<Vec<Vec<bool>>>,
    /// `kept_heads` `[layers, heads]`, uint8 flags: the head took part in this layer.
    pub kept_heads: Option<Vec<Vec<bool>>>,
}

impl AttentionOutput {
    /// Writes the file as a whole or not at all; equal results give equal bytes.
    ///
    /// # Errors
    /// [`OutputError`] when the file cannot be written; what stood there before is then intact.
    ///
    /// # Panics
    /// As [`AttentionOutput::to_bytes`].
    pub fn write(&self, path: &Path) -> Result<(), OutputError> {
        write_file(path, &self.to_bytes())
    }

    /// The file's bytes.
    ///
    /// # Panics
    /// When a table has rows of unequal length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let importances = [
            ("token_importance", &self.token_importance),
            ("head_importance", &self.head_importance),
        ];
        let flags = [
            ("kept_tokens", &self.kept_tokens),
            ("kept_heads", &self.kept_heads),
        ];

        let mut tensors = vec![Encoded::floats("out", &self.out.shape(), self.out.data())];
        for (name, table) in importances {
            if let Some(rows) = table {
                tensors.push(Encoded::floats(name, &shape_of(name, rows), &rows.concat()));
            }
        }
        for (name, table) in flags {
            if let Some(rows) = table {
                tensors.push(Encoded::flags(name, &shape_of(name, rows), &rows.concat()));
            }
        }
        let views = tensors.iter().map(|tensor| (tensor.name, tensor.view()));
        safetensors::serialize(views, None)
            .expect("every tensor has as many bytes as its shape says")
    }
}

/// One tensor in the bytes of the file.
struct Encoded {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Encoded {
    fn floats(name: &'static str, shape: &[usize], elements: &[f32]) -> Encoded {
        Encoded {
            name,
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: elements.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    fn flags(name: &'static str, shape: &[usize], elements: &[bool]) -> Encoded {
        Encoded {
            name,
            dtype: Dtype::U8,
            shape: shape.to_vec(),
            bytes: elements.iter().map(|&flag| u8::from(flag)).collect(),
        }
    }

    fn view(&self) -> TensorView<'_> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
            .expect("a tensor has as many bytes as its shape says")
    }
}

fn shape_of<T>(name: &str, rows: &[Vec<T>]) -> [usize; 2] {
    let columns = rows.first().map_or(0, Vec::len);
    assert!(
        rows.iter().all(|row| row.len() == columns),
        "the rows of `{name}` differ in length"
    );
    [rows.len(), columns]
}
