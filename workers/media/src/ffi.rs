//! The only module that calls C: what the safe bindings lack. Every `unsafe` block states why it is
//! sound.

mod colors;
#[cfg(test)]
mod components;
mod decoder;
mod device;
mod encoder;
mod errors;
mod filters;
mod frame;
mod input;
mod io;
mod log;
mod memory;
mod packet;
mod parameters;
mod process;
mod side_data;
mod strings;
mod va;
mod vmaf;

#[cfg(test)]
pub(crate) use self::process::{control, error_of_thread_with_own_descriptors};
pub(crate) use self::{
    colors::FrameColors,
    decoder::{prepare_decoder, skip_loop_filter, subtitle_header},
    device::{HardwareDevice, HardwareFrames},
    encoder::{
        Colors, EncoderPass, HeaderPlacement, frame_size, header, pass_statistics, prepare_encoder,
        set_field_order, set_fixed_quality, set_max_rate, set_pass_statistics,
        set_significant_bits,
    },
    errors::is_eagain,
    filters::{
        limit_to_one_thread, sink_frame_rate, sink_pixel_aspect, sink_time_base, sink_video_format,
    },
    frame::{
        assume_matrix, audio_shape, bits_per_pixel, empty_frame, first_plane, frame_shape,
        frame_type, lasts, rescale_duration, samples, set_frame_type, share, silence,
    },
    input::{Demuxer, Input},
    log::capture_log,
    memory::MemoryOutput,
    packet::{close_file, is_discarded, is_encrypted, is_incomplete, write_packet},
    parameters::{
        clear_codec_tag, copy_parameters, dispositions, extra_data, is_bottom_first, is_interlaced,
        pixel_format, pixel_traits, profile_name, sample_format, set_codec_tag, set_disposition,
        set_subtitle_parameters,
    },
    process::{close_inherited, lower_priority},
    side_data::copy_side_data,
    strings::{ColorNames, color_names, engine, sample_name, tags, version},
    va::query_driver,
    vmaf::{VifFeatures, Vmaf},
};
