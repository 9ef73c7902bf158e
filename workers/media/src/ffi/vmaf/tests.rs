//! The VIF scores computed here, compared with libvmaf's.

use ffapi_domain::media::Size;
use ffmpeg_the_third::{format::Pixel, frame};

use super::{VIF_FEATURES, VifFeatures, Vmaf, check, sys};
use crate::vif::Vif;

/// A frame whose luma at each pixel is `sample(x, y)`, from 0 to 1.
fn frame_of(size: (u32, u32), depth: u32, sample: impl Fn(u32, u32) -> f64) -> frame::Video {
    let format = if depth > 8 { Pixel::YUV420P10LE } else { Pixel::YUV420P };
    let mut frame = frame::Video::new(format, size.0, size.1);
    let stride = frame.stride(0);
    let max = f64::from((1_u32 << depth) - 1);
    for (y, line) in (0..size.1).zip(frame.data_mut(0).chunks_mut(stride)) {
        for x in 0..size.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            let value = (sample(x, y).clamp(0.0, 1.0) * max).round() as u16;
            let [low, high] = value.to_le_bytes();
            if depth > 8 {
                line[2 * x as usize] = low;
                line[2 * x as usize + 1] = high;
            } else {
                line[x as usize] = low;
            }
        }
    }
    frame
}

/// Deterministic noise.
fn noise(x: u32, y: u32) -> f64 {
    let mut mixed = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77);
    mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297a_2d39);
    f64::from(mixed ^ (mixed >> 15)) / f64::from(u32::MAX)
}

fn waves(x: u32, y: u32) -> f64 {
    0.5 + 0.3 * (f64::from(x) / 7.0).sin() * (f64::from(y) / 11.0).cos() + 0.1 * noise(x / 9, y / 5)
}

const fn shape((width, height): (u32, u32)) -> Size {
    Size { width, height }
}

/// libvmaf's own VIF scores of a pair.
fn libvmaf_scores(size: (u32, u32), depth: u32, pair: &[frame::Video; 2]) -> [f64; 4] {
    let [reference, distorted] = pair;
    let mut vmaf = Vmaf::new(shape(size), depth, 0, VifFeatures::Computed).unwrap();
    vmaf.compare(reference, distorted).unwrap();
    VIF_FEATURES.map(|feature| {
        let mut score = 0.0;
        // SAFETY: the context is alive, and the string outlives the call.
        let status = unsafe {
            sys::vmaf_feature_score_at_index(vmaf.context, feature.as_ptr(), &raw mut score, 0)
        };
        check("return a feature", status).unwrap();
        score
    })
}

#[test]
fn vif_scores_equal_libvmafs_to_the_last_bit() {
    type Sample = fn(u32, u32) -> f64;
    let pairs: [(&str, Sample, Sample); 8] = [
        ("the same", waves, waves),
        ("a little noise", waves, |x, y| waves(x, y) + 0.02 * noise(x, y)),
        ("more contrast", waves, |x, y| 1.5 * waves(x, y) - 0.25),
        ("less contrast", waves, |x, y| 0.3 * waves(x, y) + 0.3),
        ("coarser", waves, |x, y| waves(x / 4 * 4, y / 4 * 4)),
        ("its negative", noise, |x, y| 1.0 - noise(x, y)),
        ("nothing left", noise, |_, _| 0.5),
        ("from nothing", |_, _| 0.5, noise),
    ];
    let sizes = [(32, 32), (33, 47), (64, 36), (97, 61), (321, 243), (640, 360), (1000, 50)];
    for depth in [8, 10] {
        for size in sizes {
            let Some(mut vif) = Vif::new(size.0 as usize, size.1 as usize, depth) else {
                continue; // The processor lacks AVX-512, and libvmaf computes VIF.
            };
            for (name, reference, distorted) in pairs {
                let pair = [frame_of(size, depth, reference), frame_of(size, depth, distorted)];
                let ours = vif.compare(&pair[0], &pair[1]).map(f64::to_bits);
                let theirs = libvmaf_scores(size, depth, &pair).map(f64::to_bits);
                assert_eq!(ours, theirs, "{name}, {size:?}, {depth} bits");
            }
        }
    }
}

#[test]
fn frames_that_are_smaller_than_the_filters_are_left_to_libvmaf() {
    assert!(Vif::new(31, 400, 8).is_none());
    assert!(Vif::new(400, 31, 8).is_none());
}

#[test]
fn scores_are_the_same_with_imported_vif_scores() {
    let size = (320, 180);
    let pair = [frame_of(size, 8, waves), frame_of(size, 8, |x, y| waves(x / 2 * 2, y))];
    let score = |vif: VifFeatures| {
        let mut vmaf = Vmaf::new(shape(size), 8, 0, vif).unwrap();
        for index in 0..3 {
            vmaf.compare(&pair[0], &pair[1]).unwrap();
            if vif == VifFeatures::Imported {
                vmaf.import(index, libvmaf_scores(size, 8, &pair)).unwrap();
            }
        }
        vmaf.finish().unwrap()
    };
    assert_eq!(score(VifFeatures::Imported), score(VifFeatures::Computed));
}

#[test]
fn frames_of_another_size_are_rejected_without_a_deadlock() {
    let mut vmaf = Vmaf::new(shape((64, 64)), 8, 2, VifFeatures::Computed).unwrap();
    let [small, large] = [(64, 64), (66, 64)].map(|size| frame_of(size, 8, waves));
    vmaf.compare(&small, &small).unwrap();
    let error = vmaf.compare(&small, &large).unwrap_err();
    assert!(error.to_string().contains("changed their size"), "{error}");
    drop(vmaf);
}
