use std::{
    ffi::{CStr, c_uint},
    ptr,
};

use ffmpeg_the_third::frame;
use vmaf_head_sys as sys;

use super::{frame::first_plane, picture_shape};
use crate::MediaError;
use crate::vif::Vif;

/// Netflix's own measure of how good a picture looks beside its reference, 0 to 100.
///
/// It looks at brightness alone, so a picture's first plane is all it is given.
pub(crate) struct Vmaf {
    context: *mut sys::VmafContext,
    model: *mut sys::VmafModel,
    /// Width and height of the pictures.
    size: (u32, u32),
    compared: c_uint,
}

// SAFETY: libvmaf's objects are bound to no thread; each is reached through `&mut self` alone.
unsafe impl Send for Vmaf {}

impl Vmaf {
    /// The model that libvmaf takes when nobody names one.
    pub(crate) const MODEL: &'static str = "vmaf_v0.6.1";

    /// Prepares for pictures of `size` and `depth` bits a sample; `threads` of its own, or none.
    /// Where `fidelity` is told by whoever calls, it is not looked at again.
    pub(crate) fn new(
        size: (u32, u32),
        depth: u32,
        threads: u32,
        fidelity: bool,
    ) -> Result<Self, MediaError> {
        let mut this = Self { context: ptr::null_mut(), model: ptr::null_mut(), size, compared: 0 };
        let settings = sys::VmafConfiguration {
            log_level: sys::VmafLogLevel_VMAF_LOG_LEVEL_NONE,
            n_threads: threads,
            n_subsample: 1,
            cpumask: 0,
            gpumask: 0,
        };
        // SAFETY: writes a pointer to a context that `drop` closes.
        check("start", unsafe { sys::vmaf_init(&raw mut this.context, settings) })?;
        let mut wanted = sys::VmafModelConfig { name: c"vmaf".as_ptr(), flags: 0 };
        let name = c"vmaf_v0.6.1".as_ptr();
        // SAFETY: both texts outlive the call; writes a pointer to a model that `drop` destroys.
        let loaded = unsafe { sys::vmaf_model_load(&raw mut this.model, &raw mut wanted, name) };
        check("load its model", loaded)?;
        if fidelity {
            this.look_for(c"adm")?;
            this.look_for(c"motion")?;
        } else {
            // SAFETY: both were made above, and live.
            let used = unsafe { sys::vmaf_use_features_from_model(this.context, this.model) };
            check("use its model", used)?;
        }
        this.keep_pictures(depth, threads)?;
        Ok(this)
    }

    fn look_for(&mut self, feature: &CStr) -> Result<(), MediaError> {
        // SAFETY: the context lives, the text outlives the call, and no options are none.
        let used =
            unsafe { sys::vmaf_use_feature(self.context, feature.as_ptr(), ptr::null_mut()) };
        check("look for a feature", used)
    }

    /// Lets pictures be used again: two of the past, and two for each who looks.
    fn keep_pictures(&mut self, depth: u32, threads: u32) -> Result<(), MediaError> {
        let (w, h) = self.size;
        let grey = sys::VmafPixelFormat_VMAF_PIX_FMT_YUV400P;
        let kept = sys::VmafPictureConfiguration {
            pic_params: sys::VmafPictureConfiguration__bindgen_ty_1 {
                w,
                h,
                bpc: depth,
                pix_fmt: grey,
            },
            pic_cnt: threads.saturating_mul(2).saturating_add(4),
        };
        // SAFETY: a context that has none yet.
        check("keep pictures", unsafe { sys::vmaf_preallocate_pictures(self.context, kept) })
    }

    /// Looks at a picture and its reference, which have the size and the depth promised.
    pub(crate) fn compare(
        &mut self,
        reference: &frame::Frame,
        film: &frame::Frame,
    ) -> Result<(), MediaError> {
        let sized = [reference, film].map(|frame| {
            let (width, height, _) = picture_shape(frame);
            (width, height) == self.size
        });
        if sized != [true; 2] {
            return Err(MediaError::internal("VMAF", "the pictures changed their size"));
        }
        let mut reference = self.picture(reference)?;
        let mut film = self.picture(film).inspect_err(|_| release(&mut reference))?;
        let (reference, film) = (&mut reference, &mut film);
        // SAFETY: two filled pictures, which the context takes over and empties.
        let read = unsafe { sys::vmaf_read_pictures(self.context, reference, film, self.compared) };
        if read != 0 {
            // What it did not take goes back to the others, which are waited for at the end; of
            // what it did take, nothing is left to give.
            release(reference);
            release(film);
        }
        check("compare pictures of this size", read)?;
        self.compared = self.compared.saturating_add(1);
        Ok(())
    }

    /// Is told how much of the picture `index` can be seen in its likeness, at four sizes.
    pub(crate) fn import(&mut self, index: u32, fidelity: [f64; 4]) -> Result<(), MediaError> {
        for (feature, value) in Vif::FEATURES.into_iter().zip(fidelity) {
            // SAFETY: the context lives, and the text outlives the call.
            let told = unsafe {
                sys::vmaf_import_feature_score(self.context, feature.as_ptr(), value, index)
            };
            check("be told a feature", told)?;
        }
        Ok(())
    }

    /// The score of every pair.
    pub(crate) fn finish(self) -> Result<Vec<f64>, MediaError> {
        if self.compared == 0 {
            return Ok(vec![]);
        }
        // SAFETY: two null pictures mean the end.
        let read =
            unsafe { sys::vmaf_read_pictures(self.context, ptr::null_mut(), ptr::null_mut(), 0) };
        check("finish", read)?;
        let score = |index| {
            let mut score = 0.0;
            // SAFETY: context and model live, and the index is of a pair that was compared.
            let told = unsafe {
                sys::vmaf_score_at_index(self.context, self.model, &raw mut score, index)
            };
            check("tell a score", told).map(|()| score)
        };
        (0..self.compared).map(score).collect()
    }

    /// A copy of a picture's brightness, as libvmaf wants it.
    fn picture(&self, frame: &frame::Frame) -> Result<sys::VmafPicture, MediaError> {
        // SAFETY: plain integers and pointers, for which zero is a value.
        let mut picture: sys::VmafPicture = unsafe { std::mem::zeroed() };
        // SAFETY: writes a picture that the context owns and counts; it has some for each who
        // looks, so that one comes free.
        let taken = unsafe { sys::vmaf_fetch_preallocated_picture(self.context, &raw mut picture) };
        check("take a picture", taken)?;
        let [to, ..] = picture.data;
        let [step, ..] = picture.stride;
        let step = usize::try_from(step).unwrap_or(0).max(1);
        let rows = usize::try_from(self.size.1).unwrap_or(0);
        // SAFETY: one plane of `height` lines, `stride` bytes from each to the next.
        let to =
            unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), step.saturating_mul(rows)) };
        for (to, from) in to.chunks_mut(step).zip(first_plane(frame)) {
            let wide = from.len().min(to.len());
            if let (Some(to), Some(from)) = (to.get_mut(..wide), from.get(..wide)) {
                to.copy_from_slice(from);
            }
        }
        Ok(picture)
    }
}

impl Drop for Vmaf {
    fn drop(&mut self) {
        if !self.context.is_null() {
            // SAFETY: ours, closed once; the model outlives it.
            unsafe { sys::vmaf_close(self.context) };
        }
        if !self.model.is_null() {
            // SAFETY: ours, destroyed once, after the context that used it.
            unsafe { sys::vmaf_model_destroy(self.model) };
        }
    }
}

fn release(picture: &mut sys::VmafPicture) {
    // SAFETY: allocated by libvmaf, and given to nobody else.
    unsafe { sys::vmaf_picture_unref(picture) };
}

fn check(what: &str, outcome: i32) -> Result<(), MediaError> {
    match outcome {
        0 => Ok(()),
        error => Err(MediaError::internal(&format!("VMAF could not {what}"), error)),
    }
}

#[cfg(test)]
mod tests;
