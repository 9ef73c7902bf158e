//! What is done here in place of libvmaf, beside libvmaf.

use ffmpeg_the_third::{format::Pixel, frame};

use super::{Vmaf, check, sys};
use crate::vif::Vif;

/// A picture of what `sample` says of each place, from 0 to 1.
fn picture(size: (u32, u32), depth: u32, sample: impl Fn(u32, u32) -> f64) -> frame::Video {
    let format = if depth > 8 { Pixel::YUV420P10LE } else { Pixel::YUV420P };
    let mut picture = frame::Video::new(format, size.0, size.1);
    let stride = picture.stride(0);
    let most = f64::from((1_u32 << depth) - 1);
    for (y, line) in (0..size.1).zip(picture.data_mut(0).chunks_mut(stride)) {
        for x in 0..size.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            let value = (sample(x, y).clamp(0.0, 1.0) * most).round() as u16;
            let [low, high] = value.to_le_bytes();
            if depth > 8 {
                line[2 * x as usize] = low;
                line[2 * x as usize + 1] = high;
            } else {
                line[x as usize] = low;
            }
        }
    }
    picture
}

/// Noise that is the same every time.
fn noise(x: u32, y: u32) -> f64 {
    let mut mixed = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77);
    mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297a_2d39);
    f64::from(mixed ^ (mixed >> 15)) / f64::from(u32::MAX)
}

fn waves(x: u32, y: u32) -> f64 {
    0.5 + 0.3 * (f64::from(x) / 7.0).sin() * (f64::from(y) / 11.0).cos() + 0.1 * noise(x / 9, y / 5)
}

/// What libvmaf says, which a file of its own would tell to the same bit.
fn libvmaf(size: (u32, u32), depth: u32, pair: &[frame::Video; 2]) -> [f64; 4] {
    let [reference, film] = pair;
    let mut vmaf = Vmaf::new(size, depth, 0, false).unwrap();
    vmaf.compare(reference, film).unwrap();
    Vif::FEATURES.map(|feature| {
        let mut score = 0.0;
        // SAFETY: the context lives, and the text outlives the call.
        let told = unsafe {
            sys::vmaf_feature_score_at_index(vmaf.context, feature.as_ptr(), &raw mut score, 0)
        };
        check("tell a feature", told).unwrap();
        score
    })
}

#[test]
fn fidelity_is_libvmafs_to_the_last_bit() {
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
                continue; // Where the processor cannot, libvmaf is asked.
            };
            for (name, reference, film) in pairs {
                let pair = [picture(size, depth, reference), picture(size, depth, film)];
                let ours = vif.compare(&pair[0], &pair[1]).map(f64::to_bits);
                let theirs = libvmaf(size, depth, &pair).map(f64::to_bits);
                assert_eq!(ours, theirs, "{name}, {size:?}, {depth} bits");
            }
        }
    }
}

#[test]
fn pictures_that_filters_would_reach_across_are_left_to_libvmaf() {
    assert!(Vif::new(31, 400, 8).is_none());
    assert!(Vif::new(400, 31, 8).is_none());
}

#[test]
fn a_score_is_the_same_whoever_looks_for_fidelity() {
    let size = (320, 180);
    let pair = [picture(size, 8, waves), picture(size, 8, |x, y| waves(x / 2 * 2, y))];
    let score = |fidelity: bool| {
        let mut vmaf = Vmaf::new(size, 8, 0, fidelity).unwrap();
        for index in 0..3 {
            vmaf.compare(&pair[0], &pair[1]).unwrap();
            if fidelity {
                vmaf.import(index, libvmaf(size, 8, &pair)).unwrap();
            }
        }
        vmaf.finish().unwrap()
    };
    assert_eq!(score(true), score(false));
}

#[test]
fn pictures_of_another_size_are_refused_and_nothing_waits_for_them() {
    let mut vmaf = Vmaf::new((64, 64), 8, 2, false).unwrap();
    let [small, large] = [(64, 64), (66, 64)].map(|size| picture(size, 8, waves));
    vmaf.compare(&small, &small).unwrap();
    let refused = vmaf.compare(&small, &large).unwrap_err();
    assert!(refused.to_string().contains("changed their size"), "{refused}");
    drop(vmaf);
}
