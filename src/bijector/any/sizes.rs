//! Checks that the layers of a stack take equal events and contexts.

use super::AnyBijectorConfig;
use crate::error::{Error, Result};

/// The number of features of an event, and the width of the context, where the layer fixes them.
pub(super) type Sizes = (Option<usize>, Option<usize>);

/// The common sizes of all layers of a stack. Returns an error if two layers disagree.
pub(super) fn agree(stack: &'static str, layers: &[AnyBijectorConfig]) -> Result<Sizes> {
    let (mut features, mut context): (Option<(usize, usize)>, _) = (None, None);
    for (index, layer) in layers.iter().enumerate() {
        let (own_features, own_context) = layer.sizes()?;
        let sizes = [
            ("features", &mut features, own_features),
            ("context values", &mut context, own_context),
        ];
        for (what, known, own) in sizes {
            let Some(own) = own else { continue };
            let (first, expected) = *known.get_or_insert((index, own));
            if own != expected {
                let reason = format!(
                    "layer {index} takes {own} {what}, but layer {first} takes {expected} {what}"
                );
                return Err(Error::config("AnyBijectorConfig", stack, reason));
            }
        }
    }
    Ok((features.map(|(_, n)| n), context.map(|(_, n)| n)))
}
