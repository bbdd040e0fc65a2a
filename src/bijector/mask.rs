//! Masks: which part of an event a coupling keeps, and which part it moves.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::check_width;
use crate::error::{Error, Result, fits};
use crate::kernel::{join, pick, span, weave};
use crate::math::event_len;
use crate::noise::Noise;
use crate::param::{host_indices, index_param};
use crate::rows::callers_dims;

/// The kept part of an event; the rest is moved. Libraries disagree on the meaning of a 1 in a mask, so this type does
/// not take booleans.
///
/// Papers: Dinh et al. (2015), arXiv:1410.8516, section 3.2 (halves, alternating); Dinh et al.
/// (2017), arXiv:1605.08803, section 3.4 (checkerboard, channels).
///
/// On vectors the parts are features. On images the parts are channels; for a checkerboard they are pixels or elements.
/// [`flipped`](Self::flipped) exchanges the kept and the moved part.
///
/// ```
/// use burn_flows::bijector::Mask;
///
/// assert_eq!(Mask::Halves.kept(&[5]).unwrap(), [0, 1]);
/// assert_eq!(Mask::Alternating.kept(&[5]).unwrap(), [0, 2, 4]);
/// assert_eq!(Mask::Alternating.flipped().kept(&[5]).unwrap(), [1, 3]);
/// assert_eq!(Mask::Kept(vec![4, 1]).kept(&[5]).unwrap(), [1, 4]);
/// assert_eq!(Mask::Checkerboard.kept(&[2, 2, 2]).unwrap(), [0, 3, 4, 7]);
/// assert_eq!(Mask::FoldedCheckerboard.kept(&[2, 2, 2]).unwrap(), [0, 3, 5, 6]);
/// assert!(Mask::Kept(vec![0]).kept(&[1]).is_err()); // nothing left to move
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Mask {
    /// Keeps the first half of the features or channels, rounded down.
    Halves,
    /// Keeps every second feature or channel, from the first.
    Alternating,
    /// Keeps a random half, rounded up, determined by the seed.
    Random(u64),
    /// Keeps the features or channels of this list.
    Kept(Vec<usize>),
    /// Keeps the pixels with an even sum of row and column, in each channel (images only).
    Checkerboard,
    /// Keeps the elements with an even sum of channel, row and column (images of even width only). The conditioner
    /// receives the kept elements as an image of half the width. With [`Self::Checkerboard`] it receives the whole
    /// image, with zeros for moved pixels. This is the split of normflows.
    FoldedCheckerboard,
    /// Keeps the part that the other mask moves.
    Flipped(Box<Mask>),
}

impl Mask {
    /// Exchanges the kept and the moved part.
    pub fn flipped(self) -> Self {
        match self {
            Self::Flipped(inner) => *inner,
            mask => Self::Flipped(Box::new(mask)),
        }
    }

    /// Whether the mask selects pixels rather than channels.
    fn is_spatial(&self) -> bool {
        match self {
            Self::Flipped(inner) => inner.is_spatial(),
            mask => matches!(mask, Self::Checkerboard | Self::FoldedCheckerboard),
        }
    }

    /// Whether each part is an image of half the width.
    fn is_folded(&self) -> bool {
        match self {
            Self::Flipped(inner) => inner.is_folded(),
            mask => *mask == Self::FoldedCheckerboard,
        }
    }

    /// The kept indices, in ascending order: into axis 1 of `event`, or into the flattened event if the mask selects
    /// pixels.
    ///
    /// # Errors
    ///
    /// If the mask does not fit the event, or leaves nothing to keep or nothing to move.
    pub fn kept(&self, event: &[usize]) -> Result<Vec<usize>> {
        let Some(&axis) = event.first() else {
            return Err(wrong("needs an event of at least 1 axis, found an empty shape".into()));
        };
        fits("Coupling", "mask", event)?;
        let total = if self.is_spatial() { event.iter().product() } else { axis };
        let kept: Vec<usize> = match self {
            Self::Halves => (0..total / 2).collect(),
            Self::Alternating => (0..total).step_by(2).collect(),
            Self::Random(seed) => Noise::seeded(*seed)
                .permutation(total)
                .into_iter()
                .take(total.div_ceil(2))
                .collect(),
            Self::Kept(list) => list.clone(),
            Self::Checkerboard | Self::FoldedCheckerboard => {
                let &[_, height, width] = event else {
                    return Err(wrong(format!(
                        "a checkerboard needs images of 3 axes, found event {event:?}"
                    )));
                };
                let folded = self.is_folded();
                if folded && !width.is_multiple_of(2) {
                    return Err(wrong(format!(
                        "a folded checkerboard needs an even width, found event {event:?}"
                    )));
                }
                let even = |i: usize| {
                    let (row, column) = (i / width % height, i % width);
                    let channel = if folded { i / width / height } else { 0 };
                    (channel + row + column).is_multiple_of(2)
                };
                (0..total).filter(|&i| even(i)).collect()
            }
            Self::Flipped(inner) => {
                let moved = inner.kept(event)?;
                (0..total).filter(|i| moved.binary_search(i).is_err()).collect()
            }
        };
        let mut sorted = kept;
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(wrong(format!("must list each kept index once, found {sorted:?}")));
        }
        match sorted.last() {
            None => Err(wrong(format!("must keep at least 1 index of event {event:?}, found 0"))),
            Some(&last) if last >= total => {
                Err(wrong(format!("must keep indices below {total}, found {last}")))
            }
            Some(_) if sorted.len() == total => {
                Err(wrong(format!("must move at least 1 index of event {event:?}, found 0")))
            }
            Some(_) => Ok(sorted),
        }
    }
}

fn wrong(reason: String) -> Error {
    Error::config("Coupling", "mask", reason)
}

crate::store::checked! {
/// A [`Mask`] for tensors: splits an event into its parts and merges them again.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Mask, Split};
///
/// let device = Device::flex();
/// let split = Split::new(&Mask::Alternating, &[4], &device).unwrap();
/// let x = Tensor::<2>::from_data([[1.0, 2.0, 3.0, 4.0]], &device);
/// let (kept, moved) = split.take(x);
/// assert_eq!(kept.to_data().try_to_vec_as::<f32>().unwrap(), [1.0, 3.0]);
/// let back = split.merge(kept, moved * 10.0);
/// assert_eq!(back.into_data().try_to_vec_as::<f32>().unwrap(), [1.0, 20.0, 3.0, 40.0]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Split {
    indices: Option<Indices>,
    event: Vec<usize>,
    width: usize,
    kept: usize,
    spatial: bool,
    folded: bool,
    kept_first: bool,
}
}

impl Split {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let part = |holds: bool, field| {
            crate::store::require("Split", field, holds, || {
                format!("does not fit the event {:?}", self.event)
            })
        };
        let elements = self.event.iter().try_fold(1_usize, |all, axis| all.checked_mul(*axis));
        let width = if self.spatial { elements } else { self.event.first().copied() };
        part(width == Some(self.width) && elements.is_some(), "width")?;
        part((1..self.width).contains(&self.kept), "kept")?;
        let even = self.event.last().is_some_and(|width| width.is_multiple_of(2));
        let spatial = self.event.len() == 3 && self.indices.is_some();
        part(spatial || !self.spatial, "spatial")?;
        part(!self.folded || (self.spatial && even && 2 * self.kept == self.width), "folded")?;
        let Some(indices) = &self.indices else { return Ok(()) };
        let [kept, moved, merge] = [&indices.kept, &indices.moved, &indices.merge].map(|list| {
            let list = list.val().into_data();
            list.iter::<i64>()
                .map(usize::try_from)
                .collect::<Result<Vec<_>, _>>()
                .unwrap_or_default()
        });
        let order = [kept.as_slice(), moved.as_slice()].concat();
        let back = order.len() == self.width
            && merge.len() == self.width
            && order.iter().enumerate().all(|(at, from)| merge.get(*from) == Some(&at));
        let rising = kept.is_sorted() && moved.is_sorted() && kept.len() == self.kept;
        part(back && rising && (kept[0] < moved[0]) == self.kept_first, "indices")
    }
}

/// The parts as indices. The indices are saved with the model and never trained.
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
struct Indices {
    #[serde(with = "crate::store::fixed")]
    kept: Param<Tensor<1, Int>>,
    #[serde(with = "crate::store::fixed")]
    moved: Param<Tensor<1, Int>>,
    #[serde(with = "crate::store::fixed")]
    merge: Param<Tensor<1, Int>>,
}

crate::display::display!(Indices);

impl Split {
    /// Builds the split of events of shape `event`.
    ///
    /// # Errors
    ///
    /// If [`Mask::kept`] fails.
    pub fn new(mask: &Mask, event: &[usize], device: &Device) -> Result<Self> {
        let kept = mask.kept(event)?;
        let spatial = mask.is_spatial();
        let width: usize = if spatial { event.iter().product() } else { event[0] };
        let moved: Vec<usize> = (0..width).filter(|i| kept.binary_search(i).is_err()).collect();
        let contiguous = !spatial
            && [&kept, &moved].iter().all(|part| part[0] + part.len() - 1 == part[part.len() - 1]);
        let indices = (!contiguous).then(|| {
            let order: Vec<usize> = kept.iter().chain(&moved).copied().collect();
            let mut merge = vec![0; width];
            order.iter().enumerate().for_each(|(at, &from)| merge[from] = at);
            Indices {
                kept: index_param(&kept, device),
                moved: index_param(&moved, device),
                merge: index_param(&merge, device),
            }
        });
        let (event, kept_first) = (event.to_vec(), kept[0] < moved[0]);
        let folded = mask.is_folded();
        Ok(Self { indices, event, width, kept: kept.len(), spatial, folded, kept_first })
    }

    /// The number of moved values of an event.
    pub(crate) fn moved(&self) -> usize {
        let each = if self.spatial { 1 } else { self.event[1..].iter().product() };
        (self.width - self.kept) * each
    }

    /// Returns an error unless the split is one of the columns of vectors, for a type that reads it from a file.
    pub(crate) fn sound_for_columns(&self, name: &'static str) -> Result<()> {
        crate::store::require(name, "split", self.event.len() == 1 && !self.spatial, || {
            format!("must split the columns of vectors, found the event {:?}", self.event)
        })
    }

    /// The kept and the moved indices of axis 1, in ascending order.
    pub(crate) fn groups(&self) -> [Vec<usize>; 2] {
        if let Some(Indices { kept, moved, .. }) = &self.indices {
            return [kept, moved].map(host_indices);
        }
        let (first, second) = match self.kept_first {
            true => (self.kept, self.width - self.kept),
            false => (self.width - self.kept, self.kept),
        };
        let groups = [(0..first).collect(), (first..first + second).collect()];
        if self.kept_first {
            groups
        } else {
            let [moved, kept] = groups;
            [kept, moved]
        }
    }

    /// The number of input channels of the conditioner, and the number of elements of axis 1 that it serves, for an
    /// event with `channels` on axis 1.
    pub(crate) fn conditioner_widths(&self, channels: usize) -> (usize, usize) {
        if self.spatial { (channels, channels) } else { (self.kept, self.width - self.kept) }
    }

    /// Splits a batch into the input of the conditioner and the moved elements `[batch, n]`. The input of the
    /// conditioner is the kept part (an image of half the width for a folded checkerboard). For a plain checkerboard it
    /// is the image with zeros in place of the moved pixels.
    ///
    /// # Panics
    ///
    /// If the width of `x` differs from the width that the split was made for.
    pub fn take<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<2>) {
        self.check_event("Coupling", &x);
        let batch = x.dims()[0];
        if self.spatial {
            let mut dims = x.dims();
            let indices = self.indices.as_ref().expect("a spatial split has indices");
            let flat = x.reshape([batch, self.width]);
            let moved = pick(flat.clone(), indices.moved.val());
            let kept = pick(flat, indices.kept.val());
            if self.folded {
                dims[D - 1] /= 2;
                return (kept.reshape(dims), moved);
            }
            let merged = self.join(kept, moved.zeros_like().detach());
            return (merged.reshape(dims), moved);
        }
        let moved_count = self.width - self.kept;
        let (kept, moved) = match &self.indices {
            Some(indices) => (pick(x.clone(), indices.kept.val()), pick(x, indices.moved.val())),
            None if self.kept_first => {
                (span(x.clone(), 0..self.kept), span(x, self.kept..self.width))
            }
            None => (span(x.clone(), moved_count..self.width), span(x, 0..moved_count)),
        };
        let event = event_len(&moved);
        (kept, moved.reshape([batch, event]))
    }

    /// Checks the event of a layer that splits it.
    ///
    /// # Panics
    ///
    /// If the width of the event differs from the width that the split was made for. The message names the layer.
    pub(crate) fn check_event<const D: usize>(&self, layer: &str, x: &Tensor<D>) {
        if !self.spatial {
            return check_width(layer, self.width, x);
        }
        let (dims, event) = (callers_dims(x), &self.event);
        let expected: Vec<_> = event.iter().map(usize::to_string).collect();
        let expected = expected.join(", ");
        assert!(dims[1..] == *event, "{layer}: expected shape [batch, {expected}], found {dims:?}");
    }

    /// Merges the kept part from [`take`](Self::take) and new moved elements.
    pub fn merge<const D: usize>(&self, kept: Tensor<D>, moved: Tensor<2>) -> Tensor<D> {
        let mut dims = kept.dims();
        if self.spatial {
            let indices = self.indices.as_ref().expect("a spatial split has indices");
            let kept = if self.folded {
                dims[D - 1] *= 2;
                kept.reshape([dims[0], self.kept])
            } else {
                pick(kept.reshape([dims[0], self.width]), indices.kept.val())
            };
            return self.join(kept, moved).reshape(dims);
        }
        dims[1] = self.width - self.kept;
        self.join(kept, moved.reshape(dims))
    }

    /// Arranges the parameters on axis 1 of a conditioner's output as `[batch, P, n]` for `moved` elements, the shape
    /// that [`Univariate`](crate::univariate::Univariate) takes.
    ///
    /// # Panics
    ///
    /// If the conditioner gives another number of parameters. One set of parameters for all elements would broadcast,
    /// and the log-determinant would count one element only.
    pub(crate) fn params<const D: usize>(
        &self,
        raw: Tensor<D>,
        per_element: usize,
        moved: usize,
    ) -> Tensor<3> {
        let dims = raw.dims();
        let whole = self.spatial && !self.folded;
        let elements = if whole { self.width } else { moved };
        assert!(
            event_len(&raw) == per_element * elements,
            "Coupling: expected {per_element} parameters for each of {elements} elements from the conditioner, found shape {:?}",
            callers_dims(&raw)
        );
        let params = raw.reshape([dims[0], per_element, elements]);
        match &self.indices {
            Some(indices) if whole => params.select(2, indices.moved.val()),
            _ => params,
        }
    }

    fn join<const D: usize>(&self, kept: Tensor<D>, moved: Tensor<D>) -> Tensor<D> {
        match &self.indices {
            Some(indices) => {
                let places = [indices.kept.val(), indices.moved.val()];
                weave([kept, moved], places, indices.merge.val())
            }
            None if self.kept_first => join([kept, moved]),
            None => join([moved, kept]),
        }
    }
}
