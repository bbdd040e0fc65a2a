//! Finds columns whose scale is so far from a standard normal that training fails.

use burn::tensor::Tensor;

use super::FitData;

/// A mean or a deviation up to this limit, and a deviation down to its reciprocal, do not cause a failure. Layers are
/// initialised for numbers of about 1, and a stack of layers raises a factor to a high power.
const FAR: f64 = 100.0;

/// A value further from the mean than this many deviations is rare. A flag that is set in one row of a thousand is 32
/// deviations away. The deviation of such a column does not describe most of its rows.
const RARE: f64 = 30.0;

/// The training column furthest from mean 0 and deviation 1, among the rows and their context. Returns which data hold
/// it, and the reason with a remedy. `None` if every column is within the limits. Rows of a model of integers have no
/// scale and are not examined.
pub(super) fn furthest<const D: usize>(
    data: &FitData<D>,
    integers: bool,
) -> Option<(&'static str, String)> {
    if data.train.is_drawn() {
        return None;
    }
    let unit = |column| {
        let levels = data.dequantize.as_ref().and_then(|dequantize| dequantize.levels(column));
        levels.map_or(1.0, |levels| levels as f64)
    };
    let rows = (!integers).then(|| Column::furthest(&data.train.rows.x, unit)).flatten();
    let context = data.train.rows.context.as_ref();
    let context = context.and_then(|context| Column::furthest(context, |_| 1.0));
    let distance = |column: &Option<Column>| column.as_ref().map_or(0.0, |column| column.distance);
    if distance(&rows) >= distance(&context) {
        return rows.map(|column| {
            let remedy = "standardise the rows, with Standardize::from_data as the first layer";
            ("training data", format!("{}; {}", column.text, column.remedy.unwrap_or(remedy)))
        });
    }
    context.map(|column| {
        let remedy = "standardise the context before training and before every use of the flow";
        let reason = format!("{}; {}", column.text, column.remedy.unwrap_or(remedy));
        ("context of the training data", reason)
    })
}

/// A column and its distance from a standard scale.
struct Column {
    /// The factor by which the column exceeds the limits.
    distance: f64,
    text: String,
    /// The remedy for a column that standardising does not help.
    remedy: Option<&'static str>,
}

impl Column {
    /// The furthest column. The values of a column are divided by its `unit`.
    fn furthest<const D: usize>(x: &Tensor<D>, unit: impl Fn(usize) -> f64) -> Option<Self> {
        let event = x.dims()[1..].to_vec();
        let columns = event.iter().product::<usize>();
        let units: Vec<f64> = (0..columns).map(unit).collect();
        let values = x
            .to_data()
            .iter::<f64>()
            .enumerate()
            .map(|(at, v)| v / units[at % columns])
            .collect::<Vec<_>>();
        let of = |at: usize| Self::of(values[at..].iter().step_by(columns), &place(at, &event));
        let all = (0..columns).map(of).filter(|column| column.distance > 1.0);
        all.reduce(|a, b| if b.distance > a.distance { b } else { a })
    }

    fn of<'a>(values: impl Iterator<Item = &'a f64> + Clone, place: &str) -> Self {
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.clone().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt();
        let most = values.fold(0.0, |most: f64, v| most.max((v - mean).abs()));
        let (narrow, rare) = match deviation > 0.0 {
            true => (1.0 / deviation / FAR, most / deviation / RARE),
            false => (0.0, 0.0),
        };
        let distance = (mean.abs() / FAR).max(deviation / FAR).max(narrow).max(rare);
        let mut text =
            format!("{place} has mean {mean:.3e} and standard deviation {deviation:.3e}");
        let remedy = (rare == distance).then(|| {
            text += &format!(", and a rare value {:.0} standard deviations away", most / deviation);
            "remove the column, or encode the rare value as a category"
        });
        Self { distance, text, remedy }
    }
}

/// The position of a column in an event: its number, or its indices in an image, counted from 0.
pub(super) fn place(column: usize, event: &[usize]) -> String {
    if event.len() < 2 {
        return format!("column {column}");
    }
    let mut rest = column;
    let mut axes: Vec<usize> = event
        .iter()
        .rev()
        .map(|axis| {
            let at = rest % axis;
            rest /= axis;
            at
        })
        .collect();
    axes.reverse();
    format!("element {axes:?}")
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::noise::Noise;

    #[test]
    fn the_furthest_column_is_named_and_near_ones_are_not() {
        let normal = Noise::seeded(1).normal::<2>([1000, 2], &Device::flex());
        assert_eq!(furthest(&FitData::new(normal.clone() * 3.0 + 10.0), false), None);
        let scale = |scale: [f64; 2]| {
            let scale = Tensor::<2>::from_data([scale], &Device::flex());
            furthest(&FitData::new(normal.clone() * scale), false)
        };
        for (columns, named) in [([1e8, 1.0], 0), ([1.0, 1e-9], 1), ([1e8, 1e-12], 1)] {
            let (what, reason) = scale(columns).unwrap();
            assert_eq!(what, "training data");
            assert!(reason.starts_with(&format!("column {named} has mean ")), "{reason}");
            assert!(
                reason.ends_with(
                    "standardise the rows, with Standardize::from_data as the first layer"
                )
            );
        }
        let mut flag = vec![0.0; 1000];
        flag[7] = 1.0;
        let flag = Tensor::<1>::from_data(flag.as_slice(), &Device::flex()).reshape([1000, 1]);
        let (what, reason) = furthest(&FitData::new(normal).with_context(flag), false).unwrap();
        assert_eq!(what, "context of the training data");
        assert_eq!(
            reason,
            "column 0 has mean 1.000e-3 and standard deviation 3.161e-2, and a rare value 32 \
             standard deviations away; remove the column, or encode the rare value as a category"
        );
    }

    #[test]
    fn a_pixel_has_a_place() {
        assert_eq!(place(7, &[9]), "column 7");
        assert_eq!(place(23, &[2, 3, 4]), "element [1, 2, 3]");
        assert_eq!(place(5, &[2, 3, 4]), "element [0, 1, 1]");
    }
}
