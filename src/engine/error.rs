//! Why an engine gives no result.

use thiserror::Error;

use crate::accelerator::attention_pipeline::AttentionPipeline;
use crate::accelerator::top_k::golden::TooManyPins;
use crate::config::Config;
use crate::cosim::{BenchError, CosimError};
use crate::golden::layer::LayerOperands;
use crate::synth::SynthError;
use crate::workload::memory_image::ImageError;

/// Why a layer does not fit a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayerError {
    /// The head dimension is not among those supported at run time.
    #[error(
        "head dimension {head_dim}: the hardware of configuration {config} supports {supported}; \
         choose another configuration, or set array.head_dims"
    )]
    HeadDim {
        /// The layer's.
        head_dim: usize,
        /// Those of the configuration.
        supported: String,
        /// The configuration's name.
        config: String,
    },
    /// More keys than a row may have.
    #[error(
        "{keys} keys: the hardware of configuration {config} takes at most {limit} per row; \
         choose a larger configuration, or set limits.keys_per_row and the buffers that `spatten check` \
         then asks for"
    )]
    Keys {
        /// The layer's.
        keys: usize,
        /// The configuration's.
        limit: usize,
        /// The configuration's name.
        config: String,
    },
    /// More query heads than scores are held for.
    #[error(
        "{heads} heads: the hardware of configuration {config} takes at most {limit}; \
         choose a larger configuration, or set limits.heads"
    )]
    Heads {
        /// The layer's.
        heads: usize,
        /// The configuration's.
        limit: usize,
        /// The configuration's name.
        config: String,
    },
    /// An LSB plane on hardware without one.
    #[error(
        "K with an LSB plane: the hardware of configuration {config} has none, buffers.key_lsb_lines is 0; choose another \
         configuration, set buffers.key_lsb_lines, or store K in one plane"
    )]
    LsbPlane {
        /// The configuration's name.
        config: String,
    },
    /// An LSB plane in streams that carry one plane.
    #[error(
        "K with an LSB plane: the attention core's streams carry one plane; take the memory core"
    )]
    OnePlane,
    /// Values to prune on hardware that keeps them all.
    #[error(
        "local value pruning of query {query} to {keep} of its {live} keys: the hardware of configuration {config} \
         prunes no values, softmax.value_engines is 0; choose another configuration, set softmax.value_engines to 1 or \
         2, or keep all values"
    )]
    ValuePruning {
        /// The first query row with fewer values than live keys.
        query: usize,
        /// Values that it keeps.
        keep: usize,
        /// Its live keys.
        live: usize,
        /// The configuration's name.
        config: String,
    },
}

/// Why a selection after a layer is impossible.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectionError {
    /// More tokens to keep than the hardware holds.
    #[error(
        "{keep} tokens to keep: the hardware of configuration {config} holds at most {limit}; \
         keep fewer, choose a larger configuration, or set limits.keys_per_row"
    )]
    Capacity {
        /// Tokens to keep.
        keep: usize,
        /// The configuration's.
        limit: usize,
        /// The configuration's name.
        config: String,
    },
    /// More pinned tokens than may stay.
    #[error("{0}; pin fewer tokens or keep more")]
    Pins(#[from] TooManyPins),
}

/// Why an engine gives no result.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The layer does not fit the configuration.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The selection after the layer asks for more than there is.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The layer has no memory image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The simulation could not be built or started.
    #[error(transparent)]
    Cosim(#[from] CosimError),
    /// The RTL broke the rules of a stream, or is stuck.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A block that is measured could not be synthesised.
    #[error(transparent)]
    Synth(#[from] SynthError),
    /// A block differs from its golden model, or an engine's answer from what was asked for.
    #[error("{0}")]
    Mismatch(String),
}

impl From<crate::testbenches::BenchError> for EngineError {
    fn from(error: crate::testbenches::BenchError) -> Self {
        match error {
            crate::testbenches::BenchError::Mismatch(what) => EngineError::Mismatch(what),
            crate::testbenches::BenchError::Cosim(error) => EngineError::Cosim(error),
        }
    }
}

/// Checks that `core` can attend layers of this head dimension and so many heads, with rows of so many keys, and returns the level
/// ([`crate::accelerator::shape`]) of the head dimension.
///
/// # Errors
/// [`LayerError`] when it cannot.
pub(super) fn check_fit(
    core: &AttentionPipeline,
    (head_dim, heads): (usize, usize),
    keys: usize,
) -> Result<usize, LayerError> {
    if heads > core.heads {
        return Err(LayerError::Heads {
            heads,
            limit: core.heads,
            config: core.name.clone(),
        });
    }
    let Some(level) = core.shape.level_of(head_dim) else {
        let supported: Vec<_> = core.shape.head_dims.iter().map(usize::to_string).collect();
        return Err(LayerError::HeadDim {
            head_dim,
            supported: supported.join(", "),
            config: core.name.clone(),
        });
    };
    if keys > core.keys_per_row {
        return Err(LayerError::Keys {
            keys,
            limit: core.keys_per_row,
            config: core.name.clone(),
        });
    }
    Ok(level)
}

/// Checks that the hardware of `config` has what K's planes need.
///
/// # Errors
/// [`LayerError::LsbPlane`] when it has no LSB plane.
pub(super) fn check_lsb_plane(config: &Config, has_lsb_plane: bool) -> Result<(), LayerError> {
    match has_lsb_plane && config.buffers.key_lsb_lines == 0 {
        true => Err(LayerError::LsbPlane {
            config: config.name.clone(),
        }),
        false => Ok(()),
    }
}

/// Checks that K has no LSB plane, which the attention core's streams do not carry.
///
/// # Errors
/// [`LayerError::OnePlane`] when it has one.
pub(super) fn check_one_plane(has_lsb_plane: bool) -> Result<(), LayerError> {
    match has_lsb_plane {
        true => Err(LayerError::OnePlane),
        false => Ok(()),
    }
}

/// Checks that `core` can prune the values of a layer's rows.
///
/// # Errors
/// [`LayerError::ValuePruning`] when a row keeps fewer values than it has live keys and the hardware keeps all.
pub(super) fn check_value_pruning(
    core: &AttentionPipeline,
    layer: &LayerOperands,
) -> Result<(), LayerError> {
    let mut rows = layer.value_pruning.iter().zip(&layer.live_keys).enumerate();
    let pruned = rows.find(|(_, (pruning, live))| pruning.keep < **live);
    match pruned {
        Some((query, (pruning, &live))) if core.value_ranking().is_none() => {
            Err(LayerError::ValuePruning {
                query,
                keep: pruning.keep,
                live,
                config: core.name.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Checks that `core` holds the tokens that a selection keeps.
///
/// # Errors
/// [`SelectionError::Capacity`] when it does not.
pub(super) fn check_selection(core: &AttentionPipeline, keep: usize) -> Result<(), SelectionError> {
    if keep > core.keys_per_row {
        return Err(SelectionError::Capacity {
            keep,
            limit: core.keys_per_row,
            config: core.name.clone(),
        });
    }
    Ok(())
}
