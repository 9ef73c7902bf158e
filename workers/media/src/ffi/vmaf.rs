use std::{
    ffi::{CStr, c_uint},
    ptr,
};

use ffapi_domain::media::Size;
use ffmpeg_the_third::frame;
use vmaf_head_sys as sys;

use super::{frame::first_plane, frame_shape};
use crate::MediaError;

/// libvmaf's names of the VIF scores at the four scales.
const VIF_FEATURES: [&CStr; 4] = [
    c"VMAF_integer_feature_vif_scale0_score",
    c"VMAF_integer_feature_vif_scale1_score",
    c"VMAF_integer_feature_vif_scale2_score",
    c"VMAF_integer_feature_vif_scale3_score",
];

/// Where the VIF scores that the model needs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VifFeatures {
    /// libvmaf computes them.
    Computed,
    /// They are passed to [`Vmaf::import`].
    Imported,
}

/// VMAF, Netflix's measure of the quality of a frame compared with its reference, from 0 to 100.
///
/// It only uses luma, so only a frame's first plane is passed to it.
pub(crate) struct Vmaf {
    context: *mut sys::VmafContext,
    model: *mut sys::VmafModel,
    /// Of the frames.
    size: Size,
    /// The number of pairs compared so far.
    compared: c_uint,
}

// SAFETY: libvmaf's objects are not bound to a thread, and only accessible through this value.
unsafe impl Send for Vmaf {}

impl Vmaf {
    /// libvmaf's default model.
    pub(crate) const MODEL: &'static str = "vmaf_v0.6.1";

    /// Prepares for frames of `size` and `depth` bits per sample, with `threads` of its own (0 for
    /// none).
    pub(crate) fn new(
        size: Size,
        depth: u32,
        threads: u32,
        vif: VifFeatures,
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
        let mut config = sys::VmafModelConfig { name: c"vmaf".as_ptr(), flags: 0 };
        let name = c"vmaf_v0.6.1".as_ptr();
        // SAFETY: both strings outlive the call; writes a pointer to a model that `drop` destroys.
        let loaded = unsafe { sys::vmaf_model_load(&raw mut this.model, &raw mut config, name) };
        check("load its model", loaded)?;
        match vif {
            VifFeatures::Imported => {
                this.use_feature(c"adm")?;
                this.use_feature(c"motion")?;
            }
            VifFeatures::Computed => {
                // SAFETY: both were created above, and are alive.
                let used = unsafe { sys::vmaf_use_features_from_model(this.context, this.model) };
                check("use its model", used)?;
            }
        }
        this.preallocate_pictures(depth, threads)?;
        Ok(this)
    }

    fn use_feature(&mut self, feature: &CStr) -> Result<(), MediaError> {
        // SAFETY: the context is alive, the string outlives the call, and null means no options.
        let used =
            unsafe { sys::vmaf_use_feature(self.context, feature.as_ptr(), ptr::null_mut()) };
        check("use a feature", used)
    }

    /// Allocates picture buffers for reuse: two for each thread, and four for past frames and the
    /// current pair.
    fn preallocate_pictures(&mut self, depth: u32, threads: u32) -> Result<(), MediaError> {
        let Size { width: w, height: h } = self.size;
        let pix_fmt = sys::VmafPixelFormat_VMAF_PIX_FMT_YUV400P;
        let config = sys::VmafPictureConfiguration {
            pic_params: sys::VmafPictureConfiguration__bindgen_ty_1 { w, h, bpc: depth, pix_fmt },
            pic_cnt: threads.saturating_mul(2).saturating_add(4),
        };
        // SAFETY: a context without preallocated pictures.
        check("allocate pictures", unsafe { sys::vmaf_preallocate_pictures(self.context, config) })
    }

    /// Compares a frame with its reference; both must have the size and depth of [`Self::new`].
    pub(crate) fn compare(
        &mut self,
        reference: &frame::Frame,
        distorted: &frame::Frame,
    ) -> Result<(), MediaError> {
        let sized = [reference, distorted].map(|frame| {
            let (width, height, _) = frame_shape(frame);
            Size { width, height } == self.size
        });
        if sized != [true; 2] {
            return Err(MediaError::internal("VMAF", "the frames changed their size"));
        }
        let mut reference = self.picture(reference)?;
        let mut distorted = self.picture(distorted).inspect_err(|_| release(&mut reference))?;
        let (reference, distorted) = (&mut reference, &mut distorted);
        let index = self.compared;
        // SAFETY: two filled pictures, which the context takes over and clears.
        let read = unsafe { sys::vmaf_read_pictures(self.context, reference, distorted, index) };
        if read != 0 {
            // Pictures that it did not take over must return to the pool, which waits for all of
            // them when it is closed; those that it did take are cleared, so this has no effect.
            release(reference);
            release(distorted);
        }
        check("compare frames of this size", read)?;
        self.compared = self.compared.saturating_add(1);
        Ok(())
    }

    /// Passes the VIF scores of the pair `index`, at four scales.
    pub(crate) fn import(&mut self, index: u32, vif: [f64; 4]) -> Result<(), MediaError> {
        for (feature, value) in VIF_FEATURES.into_iter().zip(vif) {
            // SAFETY: the context is alive, and the string outlives the call.
            let imported = unsafe {
                sys::vmaf_import_feature_score(self.context, feature.as_ptr(), value, index)
            };
            check("import a feature", imported)?;
        }
        Ok(())
    }

    /// The scores of all pairs, in order.
    pub(crate) fn finish(self) -> Result<Vec<f64>, MediaError> {
        if self.compared == 0 {
            return Ok(vec![]);
        }
        // SAFETY: two null pictures signal the end.
        let read =
            unsafe { sys::vmaf_read_pictures(self.context, ptr::null_mut(), ptr::null_mut(), 0) };
        check("finish", read)?;
        let score = |index| {
            let mut score = 0.0;
            // SAFETY: context and model are alive, and the index is of a pair that was compared.
            let status = unsafe {
                sys::vmaf_score_at_index(self.context, self.model, &raw mut score, index)
            };
            check("return a score", status).map(|()| score)
        };
        (0..self.compared).map(score).collect()
    }

    /// A copy of a frame's luma in a picture of libvmaf.
    fn picture(&self, frame: &frame::Frame) -> Result<sys::VmafPicture, MediaError> {
        // SAFETY: plain integers and pointers, for which zero is valid.
        let mut picture: sys::VmafPicture = unsafe { std::mem::zeroed() };
        // SAFETY: writes a picture that the context owns and counts; it has enough for all threads,
        // so that one becomes free.
        let status =
            unsafe { sys::vmaf_fetch_preallocated_picture(self.context, &raw mut picture) };
        check("fetch a picture", status)?;
        let [to, ..] = picture.data;
        let [stride, ..] = picture.stride;
        let stride = usize::try_from(stride).unwrap_or(0).max(1);
        let rows = usize::try_from(self.size.height).unwrap_or(0);
        // SAFETY: one plane of `height` lines, `stride` bytes from each to the next.
        let to =
            unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), stride.saturating_mul(rows)) };
        for (to, from) in to.chunks_mut(stride).zip(first_plane(frame)) {
            let length = from.len().min(to.len());
            if let (Some(to), Some(from)) = (to.get_mut(..length), from.get(..length)) {
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
    // SAFETY: allocated by libvmaf, and owned by the caller alone.
    unsafe { sys::vmaf_picture_unref(picture) };
}

fn check(what: &str, status: i32) -> Result<(), MediaError> {
    match status {
        0 => Ok(()),
        error => Err(MediaError::internal(&format!("VMAF could not {what}"), error)),
    }
}

#[cfg(test)]
mod tests;
