//! The shapes of multi-scale image models.

use crate::error::{Error, Result, count, fits, repeats};

/// The shape of an image model: each level squeezes the image, and each level but the last splits it.
pub(super) struct Levels {
    pub config: &'static str,
    pub image: [usize; 3],
    pub levels: usize,
}

impl Levels {
    /// Returns an error that names the level at which the image becomes too small, and the image size there.
    pub fn validate(&self) -> Result<()> {
        repeats(self.config, "levels", 1, self.levels)?;
        self.image.iter().try_for_each(|&n| count(self.config, "image", 1, n))?;
        let [_, height, width] = self.image;
        let fitting = height.trailing_zeros().min(width.trailing_zeros()) as usize;
        if self.levels > fitting {
            let advice = match fitting {
                0 => "no level fits; pad the images".to_string(),
                1 => "1 level fits, more if the images are padded".to_string(),
                _ => format!("{fitting} levels fit, more if the images are padded"),
            };
            let reason = format!(
                "level {} of {} cannot squeeze {}x{} pixels, an odd size; {advice}",
                fitting + 1,
                self.levels,
                height >> fitting,
                width >> fitting
            );
            return Err(Error::config(self.config, "image", reason));
        }
        fits(self.config, "image", &self.image)?;
        let [channels, ..] = self.last();
        fits(self.config, "levels", &[channels, channels])
    }

    /// The event shape of the last level, which has the most channels.
    pub fn last(&self) -> [usize; 3] {
        *self.squeezed().last().expect("at least one level")
    }

    /// The event shape of each level after its squeeze. Half of the channels of a level go to the next level.
    pub fn squeezed(&self) -> Vec<[usize; 3]> {
        let mut event = self.image;
        (0..self.levels)
            .map(|_| {
                let [channels, height, width] = event;
                let squeezed = [4 * channels, height / 2, width / 2];
                event = [2 * channels, height / 2, width / 2];
                squeezed
            })
            .collect()
    }
}

/// The part that each level finishes: half of its channels, or all channels in the last level.
pub(super) fn finished(squeezed: &[[usize; 3]]) -> Vec<[usize; 3]> {
    let last = squeezed.len() - 1;
    let part = |(index, &[channels, height, width]): (usize, &[usize; 3])| {
        [if index == last { channels } else { channels / 2 }, height, width]
    };
    squeezed.iter().enumerate().map(part).collect()
}
