//! Tells the crate which FFmpeg it is linked with: `cfg(ffmpeg_6_0)` and so on for its interfaces, and
//! what `ops/ffmpeg/setup` wrote into `.tools/ffmpeg/cargo.toml`.

use std::env;

/// The releases whose interfaces the crate distinguishes.
const RELEASES: [&str; 4] = ["6_0", "6_1", "7_0", "7_1"];

fn main() {
    for release in RELEASES {
        println!("cargo::rustc-check-cfg=cfg(ffmpeg_{release})");
        if env::var_os(format!("DEP_FFMPEG_FFMPEG_{release}")).is_some() {
            println!("cargo::rustc-cfg=ffmpeg_{release}");
        }
    }
    println!("cargo::rerun-if-env-changed=FFAPI_ENGINE");
    println!("cargo::rustc-check-cfg=cfg(engine, values(\"bundled\", \"system\"))");
    match env::var("FFAPI_ENGINE").as_deref() {
        Ok(engine @ ("bundled" | "system")) => println!("cargo::rustc-cfg=engine=\"{engine}\""),
        _ => println!(
            "cargo::error=no FFmpeg was chosen; run `ops/setup`, or `FFAPI_FFMPEG=system ops/setup` \
             to link with that of this machine"
        ),
    }
}
