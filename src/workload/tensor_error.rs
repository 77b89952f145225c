//! What can be wrong with a file of attention tensors, each with what is allowed and a way out.

use std::io;
use std::path::PathBuf;

use safetensors::Dtype;

/// A file of attention tensors that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("tensor file {path}: {problem}", path = .path.display())]
pub struct TensorError {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: TensorProblem,
}

/// What is wrong with a file of attention tensors.
#[derive(Debug, thiserror::Error)]
pub enum TensorProblem {
    /// There is no such file.
    #[error("no such file; name an existing safetensors file")]
    Missing,
    /// The path names a folder.
    #[error("is a folder; name a safetensors file, perhaps one inside it")]
    Folder,
    /// The path names a device, pipe or socket.
    #[error("is not a regular file; name a safetensors file on disk")]
    NotRegular,
    /// The system refuses to read the file.
    #[error("cannot be read ({0}); check its permissions")]
    Unreadable(io::Error),
    /// Too short for the header's length, which is the file's first 8 bytes.
    #[error(
        "has only {0} bytes, but a safetensors file starts with the 8-byte length of its header; \
         it is truncated or of another format"
    )]
    NoHeaderLength(usize),
    /// The header's length exceeds the file.
    #[error(
        "its first 8 bytes announce a header of {announced} bytes, but only {available} follow; \
         it is truncated or not a safetensors file"
    )]
    HeaderBeyondFile {
        /// What the first 8 bytes say.
        announced: u64,
        /// How many bytes follow them.
        available: usize,
    },
    /// The header is not that of a safetensors file.
    #[error("has no valid safetensors header ({0}); write it again with a safetensors library")]
    BadHeader(serde_json::Error),
    /// Less data than the header describes.
    #[error(
        "is truncated: its header describes {described} bytes of data, but only {available} follow; \
         copy or write it again"
    )]
    Truncated {
        /// Bytes of data that the header describes.
        described: usize,
        /// Bytes that follow the header.
        available: usize,
    },
    /// More data than the header describes.
    #[error(
        "is corrupt: its header describes {described} bytes of data, but {available} follow; \
         copy or write it again"
    )]
    TrailingData {
        /// Bytes of data that the header describes.
        described: usize,
        /// Bytes that follow the header.
        available: usize,
    },
    /// A tensor that must be there is not.
    #[error("has no tensor `{name}`, only {found}; it must hold `q`, `k` and `v`")]
    NoTensor {
        /// The missing tensor.
        name: &'static str,
        /// The names in the file.
        found: String,
    },
    /// A tensor is not float32.
    #[error("tensor `{name}` has dtype {found}; it must be F32, so convert it to float32")]
    DataType {
        /// The tensor.
        name: &'static str,
        /// Its dtype.
        found: Dtype,
    },
    /// A tensor does not have four axes.
    #[error("tensor `{name}` has shape {found:?}; it must have four axes: {axes}")]
    Rank {
        /// The tensor.
        name: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// What its axes must be.
        axes: String,
    },
    /// An axis has no elements.
    #[error("tensor `{name}` has shape {found:?} with zero {axis}; every axis must be at least 1")]
    ZeroSize {
        /// The tensor.
        name: &'static str,
        /// Its shape.
        found: [usize; 4],
        /// The empty axis.
        axis: &'static str,
    },
    /// Two tensors differ in an axis that they share.
    #[error(
        "tensor `{name}` has {found} {axis}, but tensor `{other}` has {expected}; they must be equal"
    )]
    Disagree {
        /// The tensor.
        name: &'static str,
        /// The tensor that it must agree with.
        other: &'static str,
        /// The axis.
        axis: &'static str,
        /// The axis's size in `name`.
        found: usize,
        /// The axis's size in `other`.
        expected: usize,
    },
    /// Query heads cannot share the KV heads equally.
    #[error(
        "tensor `k` has {kv_heads} KV heads, which do not divide the {heads} heads of tensor `q`; \
         heads must be a multiple of KV heads"
    )]
    KvHeads {
        /// Heads of `q`.
        heads: usize,
        /// Heads of `k` and `v`.
        kv_heads: usize,
    },
    /// An element is NaN or infinite.
    #[error(
        "tensor `{name}` holds {value} at [layer {l}, head {h}, {row_axis} {r}, element {e}]; \
         every element must be finite, so check the model run that wrote it",
        l = .index[0], h = .index[1], r = .index[2], e = .index[3]
    )]
    NotFinite {
        /// The tensor.
        name: &'static str,
        /// The element: layer, head, row, element.
        index: [usize; 4],
        /// What a row of this tensor is.
        row_axis: &'static str,
        /// The element's value.
        value: f32,
    },
    /// Nothing says whether the attention is causal.
    #[error(
        "has no metadata `causal`, which must be `true` or `false`; add it or pass --causal true|false"
    )]
    NoCausal,
    /// `causal` has another value.
    #[error(
        "its metadata `causal` is `{0}`; it must be `true` or `false`: \
         correct it or pass --causal true|false"
    )]
    BadCausal(String),
    /// The queries of causal attention are the newest keys, so there cannot be more of them.
    #[error(
        "is causal with {queries} queries over {keys} keys; causal attention has at most as many queries \
         as keys: check the shapes or pass --causal false"
    )]
    CausalQueries {
        /// Queries per head.
        queries: usize,
        /// Keys per head.
        keys: usize,
    },
}
