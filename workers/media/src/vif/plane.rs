use ffmpeg_the_third::frame;

use crate::ffi::first_plane;

/// Samples that are processed at once.
pub(super) const LANES: usize = 32;

/// The samples of one vector.
pub(super) type Block = [u16; LANES];

/// One plane of a frame, its lines padded to whole blocks.
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Blocks per line.
    pub(super) blocks: usize,
    samples: Vec<Block>,
}

impl Plane {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let blocks = width.div_ceil(LANES);
        Self { width, height, blocks, samples: vec![[0; LANES]; blocks * height] }
    }

    /// Copies a frame's luma plane, with `depth` bits per sample.
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

    /// The line at `y - above`; beyond the top and bottom edges the plane is mirrored.
    pub(super) fn line(&self, y: usize, above: usize) -> &[Block] {
        let y = y.abs_diff(above);
        let y = if y < self.height { y } else { 2 * self.height - 2 - y };
        &self.samples[y * self.blocks..][..self.blocks]
    }

    pub(super) fn line_mut(&mut self, y: usize) -> &mut [Block] {
        &mut self.samples[y * self.blocks..][..self.blocks]
    }
}

/// Samples that a convolution reads at once: a block, and the radius of the filter.
const WINDOW: usize = 2 * LANES;

/// A line of sums, with margins for a filter's radius on either side.
#[derive(Clone)]
pub(super) struct Line(Vec<Block>);

impl Line {
    pub(super) fn new(width: usize) -> Self {
        Self(vec![[0; LANES]; width.div_ceil(LANES) + 3])
    }

    pub(super) fn block_mut(&mut self, block: usize) -> &mut Block {
        &mut self.0[block + 1]
    }

    /// The samples from `x - reach` on; the margins are wide enough for any `x` of the line.
    pub(super) fn window(&self, x: usize, reach: usize) -> &[u16; WINDOW] {
        self.0.as_flattened()[LANES + x - reach..].first_chunk().unwrap_or(&[0; WINDOW])
    }

    /// Fills the margins of a line of `width` samples by mirroring it at its edges.
    pub(super) fn mirror(&mut self, width: usize, reach: usize) {
        let line = &mut self.0.as_flattened_mut()[LANES - reach..];
        let last = reach + width - 1;
        for distance in 1..=reach {
            line[reach - distance] = line[reach + distance];
            line[last + distance] = line[last - distance];
        }
    }
}

/// The block of a window that starts at `from`, which is at most twice a filter's radius.
#[inline]
pub(super) fn block(window: &[u16; WINDOW], from: usize) -> &Block {
    window[from..].first_chunk().unwrap_or(&[0; LANES])
}
