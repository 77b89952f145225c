//! Attention tensors of a user's model, read from a safetensors file (command line, `attend`).

use std::io::{self, Read};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

pub use super::tensor_error::{TensorError, TensorProblem};
use crate::input::{self, NotOpened};

/// A float32 tensor of four axes: layer, head, row (a query or key), element of the head dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: [usize; 4],
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor of `data` in row-major order.
    ///
    /// # Panics
    /// When `data` does not have as many elements as `shape` says.
    pub fn new(shape: [usize; 4], data: Vec<f32>) -> Tensor {
        assert_eq!(
            data.len(),
            shape.iter().product::<usize>(),
            "a tensor of shape {shape:?} does not have {} elements",
            data.len()
        );
        Tensor { shape, data }
    }

    /// Sizes of the axes: `[layers, heads, rows, d]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// All elements in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// One head of one layer as `[rows][d]`.
    ///
    /// # Panics
    /// When there is no such layer or head.
    pub fn head(&self, layer: usize, head: usize) -> Vec<Vec<f64>> {
        let [layers, heads, rows, dim] = self.shape;
        assert!(
            layer < layers && head < heads,
            "layer {layer}, head {head} lies outside the shape {:?}",
            self.shape
        );
        let start = (layer * heads + head) * rows * dim;
        self.data[start..start + rows * dim]
            .chunks_exact(dim)
            .map(|row| row.iter().map(|&x| f64::from(x)).collect())
            .collect()
    }

    fn first_not_finite(&self) -> Option<([usize; 4], f32)> {
        let position = self.data.iter().position(|x| !x.is_finite())?;
        let [_, heads, rows, dim] = self.shape;
        let row = position / dim;
        let head = row / rows;
        let index = [head / heads, head % heads, row % rows, position % dim];
        Some((index, self.data[position]))
    }
}

/// The attention operands of a model, checked: shapes agree, no axis is empty, every element is finite,
/// the KV heads divide the heads, and causal attention has at most as many queries as keys.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionTensors {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    context: Option<Tensor>,
    causal: bool,
}

/// Names of a tensor's axes, for messages.
type Axes = [&'static str; 4];
const QUERY_AXES: Axes = ["layers", "heads", "queries", "elements per head (d)"];
const KEY_AXES: Axes = ["layers", "KV heads", "keys", "elements per head (d)"];

impl AttentionTensors {
    /// Reads float32 `q` `[layers, heads, queries, d]`, `k` and `v` `[layers, kv_heads, keys, d]`, and, when
    /// there, `ctx` with the shape of `q`. `causal_override` stands above the metadata `causal`. Other
    /// tensors and metadata are passed over.
    ///
    /// # Errors
    /// [`TensorError`], for anything about the file that is not as described here or at
    /// [`AttentionTensors`].
    pub fn read(
        path: &Path,
        causal_override: Option<bool>,
    ) -> Result<AttentionTensors, TensorError> {
        read_file(path)
            .and_then(|bytes| AttentionTensors::from_bytes(&bytes, causal_override))
            .map_err(|problem| TensorError {
                path: path.to_path_buf(),
                problem,
            })
    }

    /// As [`AttentionTensors::read`], from the file's bytes.
    ///
    /// # Errors
    /// [`TensorProblem`], for any bytes that are not as described at [`AttentionTensors::read`].
    pub fn from_bytes(
        bytes: &[u8],
        causal_override: Option<bool>,
    ) -> Result<AttentionTensors, TensorProblem> {
        let file = TensorFile::parse(bytes)?;
        let queries = file.tensor("q", QUERY_AXES)?;
        let keys = file.tensor("k", KEY_AXES)?;
        let values = file.tensor("v", KEY_AXES)?;
        let context = if file.metadata.info("ctx").is_some() {
            Some(file.tensor("ctx", QUERY_AXES)?)
        } else {
            None
        };

        check_shapes(&queries, &keys, &values, context.as_ref())?;
        for (name, tensor, row_axis) in [
            ("q", Some(&queries), "query"),
            ("k", Some(&keys), "key"),
            ("v", Some(&values), "key"),
            ("ctx", context.as_ref(), "query"),
        ] {
            if let Some((index, value)) = tensor.and_then(Tensor::first_not_finite) {
                return Err(TensorProblem::NotFinite {
                    name,
                    index,
                    row_axis,
                    value,
                });
            }
        }

        let causal = match causal_override {
            Some(causal) => causal,
            None => file.causal()?,
        };
        let (queries_per_head, keys_per_head) = (queries.shape[2], keys.shape[2]);
        if causal && queries_per_head > keys_per_head {
            return Err(TensorProblem::CausalQueries {
                queries: queries_per_head,
                keys: keys_per_head,
            });
        }
        Ok(AttentionTensors {
            queries,
            keys,
            values,
            context,
            causal,
        })
    }

    /// Q, `[layers, heads, queries, d]`.
    pub fn queries(&self) -> &Tensor {
        &self.queries
    }

    /// K, `[layers, kv_heads, keys, d]`.
    pub fn keys(&self) -> &Tensor {
        &self.keys
    }

    /// V, `[layers, kv_heads, keys, d]`.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// The model's own attention output, `[layers, heads, queries, d]`, when the file holds it.
    pub fn context(&self) -> Option<&Tensor> {
        self.context.as_ref()
    }

    /// Whether a query sees only the keys up to its own.
    pub fn causal(&self) -> bool {
        self.causal
    }

    /// Number of layers.
    pub fn layer_count(&self) -> usize {
        self.queries.shape[0]
    }

    /// Number of query heads per layer.
    pub fn head_count(&self) -> usize {
        self.queries.shape[1]
    }

    /// Number of KV heads per layer, which divides the number of query heads.
    pub fn kv_head_count(&self) -> usize {
        self.keys.shape[1]
    }

    /// Number of queries per head.
    pub fn query_count(&self) -> usize {
        self.queries.shape[2]
    }

    /// Number of keys per head.
    pub fn key_count(&self) -> usize {
        self.keys.shape[2]
    }

    /// Head dimension d.
    pub fn head_dim(&self) -> usize {
        self.queries.shape[3]
    }

    /// The sizes in words, for a report.
    pub fn sizes(&self) -> String {
        format!(
            "{} heads over {} KV heads, {} queries, {} keys, d = {}",
            self.head_count(),
            self.kv_head_count(),
            self.query_count(),
            self.key_count(),
            self.head_dim(),
        )
    }

    /// `causal` or `bidirectional`.
    pub fn direction(&self) -> &'static str {
        if self.causal {
            "causal"
        } else {
            "bidirectional"
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, TensorProblem> {
    let of_io = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => TensorProblem::Missing,
        _ => TensorProblem::Unreadable(error),
    };
    let mut file = input::open(path).map_err(|why| match why {
        NotOpened::Folder => TensorProblem::Folder,
        NotOpened::NotRegular => TensorProblem::NotRegular,
        NotOpened::Io(error) => of_io(error),
    })?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(of_io)?;
    Ok(bytes)
}

/// A safetensors file taken apart: an 8-byte header length, the header (JSON), the data.
///
/// The header's contents are left to the `safetensors` crate. Its own entry point reports a cut header and
/// cut data alike and adds sizes from the file without overflow checks, so the lengths are compared here.
struct TensorFile<'a> {
    metadata: Metadata,
    data: &'a [u8],
}

impl<'a> TensorFile<'a> {
    fn parse(bytes: &'a [u8]) -> Result<TensorFile<'a>, TensorProblem> {
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(TensorProblem::NoHeaderLength(bytes.len()));
        };
        let announced = u64::from_le_bytes(*length);
        let split = usize::try_from(announced)
            .ok()
            .and_then(|header_length| rest.split_at_checked(header_length));
        let Some((header, data)) = split else {
            return Err(TensorProblem::HeaderBeyondFile {
                announced,
                available: rest.len(),
            });
        };
        let metadata: Metadata =
            serde_json::from_slice(header).map_err(TensorProblem::BadHeader)?;

        let described = metadata.data_len();
        let available = data.len();
        match described.cmp(&available) {
            std::cmp::Ordering::Greater => Err(TensorProblem::Truncated {
                described,
                available,
            }),
            std::cmp::Ordering::Less => Err(TensorProblem::TrailingData {
                described,
                available,
            }),
            std::cmp::Ordering::Equal => Ok(TensorFile { metadata, data }),
        }
    }

    fn tensor(&self, name: &'static str, axes: Axes) -> Result<Tensor, TensorProblem> {
        let Some(info) = self.metadata.info(name) else {
            return Err(TensorProblem::NoTensor {
                name,
                found: self.names(),
            });
        };
        if info.dtype != Dtype::F32 {
            return Err(TensorProblem::DataType {
                name,
                found: info.dtype,
            });
        }
        let Ok(shape) = <[usize; 4]>::try_from(info.shape.as_slice()) else {
            return Err(TensorProblem::Rank {
                name,
                found: info.shape.clone(),
                axes: axes.join(", "),
            });
        };
        if let Some(axis) = shape.iter().position(|&size| size == 0) {
            return Err(TensorProblem::ZeroSize {
                name,
                found: shape,
                axis: axes[axis],
            });
        }
        let (start, end) = info.data_offsets;
        let data = self.data[start..end]
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect();
        Ok(Tensor::new(shape, data))
    }

    fn names(&self) -> String {
        let mut names = self.metadata.offset_keys();
        names.sort();
        if names.is_empty() {
            return "no tensors at all".to_owned();
        }
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    }

    fn causal(&self) -> Result<bool, TensorProblem> {
        let entries = self.metadata.metadata().as_ref();
        let Some(causal) = entries.and_then(|entries| entries.get("causal")) else {
            return Err(TensorProblem::NoCausal);
        };
        match causal.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(TensorProblem::BadCausal(other.to_owned())),
        }
    }
}

fn check_shapes(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    context: Option<&Tensor>,
) -> Result<(), TensorProblem> {
    const LAYERS: usize = 0;
    const HEADS: usize = 1;
    const ROWS: usize = 2;
    const DIM: usize = 3;
    const ALL: &[usize] = &[LAYERS, HEADS, ROWS, DIM];

    let (q, k, v) = (("q", queries), ("k", keys), ("v", values));
    agree(k, q, QUERY_AXES, &[LAYERS, DIM])?;
    agree(v, k, KEY_AXES, ALL)?;
    if let Some(context) = context {
        agree(("ctx", context), q, QUERY_AXES, ALL)?;
    }
    let (heads, kv_heads) = (queries.shape[HEADS], keys.shape[HEADS]);
    if !heads.is_multiple_of(kv_heads) {
        return Err(TensorProblem::KvHeads { heads, kv_heads });
    }
    Ok(())
}

fn agree(
    (name, tensor): (&'static str, &Tensor),
    (other, reference): (&'static str, &Tensor),
    axes: Axes,
    shared: &[usize],
) -> Result<(), TensorProblem> {
    for &axis in shared {
        let (found, expected) = (tensor.shape[axis], reference.shape[axis]);
        if found != expected {
            return Err(TensorProblem::Disagree {
                name,
                other,
                axis: axes[axis],
                found,
                expected,
            });
        }
    }
    Ok(())
}
