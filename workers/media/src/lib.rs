//! The FFmpeg engine
