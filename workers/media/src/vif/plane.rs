use ffmpeg_the_third::frame;

use crate::ffi::first_plane;

/// Samples that are looked at at once.
pub(super) const LANES: usize = 32;

/// So many neighbours.
pub(super) type Block = [u16; LANES];

/// One plane of a picture, its lines filled up to whole blocks.
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Blocks of a line.
    pub(super) blocks: usize,
    samples: Vec<Block>,
}

impl Plane {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let blocks = width.div_ceil(LANES);
        Self { width, height, blocks, samples: vec![[0; LANES]; blocks * height] }
    }

    /// Takes a picture's brightness, of `depth` bits a sample.
    pub(super) fn fill(&mut self, frame: &frame::Frame, depth: u32) {
        for (to, from) in self.samples.chunks_exact_mut(self.blocks).zip(first_plane(frame)) {
            let to = to.as_flattened_mut().iter_mut();
            if depth > 8 {
                let (samples, _) = from.as_chunks();
                to.zip(samples).for_each(|(to, from)| *to = u16::from_le_bytes(*from));
            } else {
                to.zip(from).for_each(|(to, from)| *to = u16::from(*from));
            }
        }
    }

    /// The line that is `above` before line `y`; beyond an edge the picture is seen as in a mirror.
    pub(super) fn line(&self, y: usize, above: usize) -> &[Block] {
        let y = y.abs_diff(above);
        let y = if y < self.height { y } else { 2 * self.height - 2 - y };
        &self.samples[y * self.blocks..][..self.blocks]
    }

    pub(super) fn line_mut(&mut self, y: usize) -> &mut [Block] {
        &mut self.samples[y * self.blocks..][..self.blocks]
    }
}

/// What is read of a line at once: a block, and as far as a filter reaches.
const WINDOW: usize = 2 * LANES;

/// A line of sums, with room for a filter's reach on either side.
#[derive(Clone)]
pub(super) struct Line(Vec<Block>);

impl Line {
    pub(super) fn new(width: usize) -> Self {
        Self(vec![[0; LANES]; width.div_ceil(LANES) + 3])
    }

    pub(super) fn block_mut(&mut self, block: usize) -> &mut Block {
        &mut self.0[block + 1]
    }

    /// From `reach` samples before the sample `x` on; the margins are wide enough for any of the line.
    pub(super) fn window(&self, x: usize, reach: usize) -> &[u16; WINDOW] {
        self.0.as_flattened()[LANES + x - reach..].first_chunk().unwrap_or(&[0; WINDOW])
    }

    /// Lets a filter see beyond the edges of a line of `width`, as in a mirror.
    pub(super) fn mirror(&mut self, width: usize, reach: usize) {
        let line = &mut self.0.as_flattened_mut()[LANES - reach..];
        let last = reach + width - 1;
        for away in 1..=reach {
            line[reach - away] = line[reach + away];
            line[last + away] = line[last - away];
        }
    }
}

/// The block of a window that begins at `from`, which is within a filter's reach.
#[inline]
pub(super) fn block(window: &[u16; WINDOW], from: usize) -> &Block {
    window[from..].first_chunk().unwrap_or(&[0; LANES])
}
