//! The decoders that an input may use: those of common formats, and none of the hundreds that
//! FFmpeg has for games and old machines, which are hardly maintained.

/// FFmpeg's decoder names, comma-separated as its option `codec_whitelist` takes them.
pub(crate) const DECODERS: &str = "h264,hevc,libdav1d,libaom-av1,av1,vp8,libvpx,vp9,libvpx-vp9,vp6,vp6a,\
    vp6f,theora,mpeg1video,mpeg2video,mpegvideo,mpeg4,msmpeg4,msmpeg4v1,msmpeg4v2,h261,h263,h263i,h263p,\
    flv,wmv1,wmv2,wmv3,vc1,mss2,svq1,svq3,cinepak,indeo3,indeo4,indeo5,rpza,qtrle,smc,msrle,msvideo1,\
    prores,dnxhd,cfhd,mjpeg,mjpegb,jpegls,jpeg2000,libopenjpeg,libjxl,dvvideo,ffv1,huffyuv,ffvhuff,\
    utvideo,magicyuv,zlib,mszh,dirac,asv1,asv2,lagarith,hap,rawvideo,v210,v210x,v308,v408,v410,r10k,r210,yuv4,ayuv,y41p,wrapped_avframe,\
    flashsv,flashsv2,camtasia,tscc2,zmbv,png,apng,gif,bmp,tiff,webp,targa,pam,ppm,pgm,pbm,pcx,sgi,dpx,exr,\
    qoi,psd,iff,rv10,rv20,rv30,rv40,rv60,vvc,apv,\
    aac,aac_latm,mp1,mp1float,mp2,mp2float,mp3,mp3float,mp3adu,mp3adufloat,mp3on4,mp3on4float,ac3,eac3,dca,\
    truehd,mlp,flac,alac,als,opus,libopus,vorbis,libvorbis,speex,libspeex,wmav1,wmav2,wmapro,wmalossless,\
    wmavoice,ape,tta,tak,wavpack,mpc7,mpc8,shorten,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,gsm,\
    gsm_ms,libgsm,libgsm_ms,ilbc,qcelp,evrc,g722,g726,g726le,g723_1,g729,nellymoser,mace3,mace6,qdm2,qdmc,\
    atrac1,atrac3,atrac3al,atrac3plus,atrac3plusal,atrac9,metasound,twinvq,sbc,aptx,aptx_hd,dolby_e,s302m,dvaudio,\
    cook,sipr,real_144,real_288,ralf,\
    dsd_lsbf,dsd_lsbf_planar,dsd_msbf,dsd_msbf_planar,dst,comfortnoise,\
    pcm_alaw,pcm_mulaw,pcm_vidc,pcm_bluray,pcm_dvd,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,\
    pcm_lxf,pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,pcm_s24daud,pcm_s24le,\
    pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s64be,pcm_s64le,pcm_s8,pcm_s8_planar,pcm_u16be,\
    pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,pcm_u8,\
    adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,adpcm_yamaha,adpcm_adx,adpcm_ct,\
    ass,ssa,srt,subrip,webvtt,mov_text,text,dvbsub,dvdsub,pgssub,xsub,libzvbi_teletextdec,cc_dec,microdvd,\
    sami,subviewer,subviewer1,mpl2,jacosub,pjs,realtext,stl,vplayer";

/// True if inputs may use the decoder of this name.
pub(crate) fn is_allowed_decoder(name: &str) -> bool {
    DECODERS.split(',').any(|allowed| allowed == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_formats_are_allowed_and_formats_of_old_games_are_not() {
        assert!(["h264", "aac", "cinepak", "subrip"].into_iter().all(is_allowed_decoder));
        assert!(!["bethsoftvid", "roqvideo", "snow", ""].into_iter().any(is_allowed_decoder));
        assert!(DECODERS.split(',').all(|name| !name.is_empty() && !name.contains(' ')));
    }
}
