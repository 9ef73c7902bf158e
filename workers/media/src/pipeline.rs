//! From the packets of an input to filtered frames: a pipeline of threads, and what counts and charges
//! the media time that passes through it.

pub(crate) mod audio_clock;
pub(crate) mod charge;
pub(crate) mod context;
pub(crate) mod decode;
pub(crate) mod decoding;
pub(crate) mod demux;
pub(crate) mod encoded_packet;
pub(crate) mod filtergraph;
pub(crate) mod filtering;
pub(crate) mod flow;
pub(crate) mod frame_channel;
pub(crate) mod frame_format;
pub(crate) mod frame_seeker;
pub(crate) mod packet_channel;
pub(crate) mod packet_clock;
pub(crate) mod packet_span;
pub(crate) mod progress;
pub(crate) mod scan;
pub(crate) mod seek;
pub(crate) mod source_encoder;
pub(crate) mod standing;
pub(crate) mod stated_ends;
pub(crate) mod work;
