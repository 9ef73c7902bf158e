use super::*;

const VAAPI: Hardware = Hardware { prefer: Pool::Vaapi, fallback: Fallback::Fail };
const OR_CPU: Hardware = Hardware { prefer: Pool::Vaapi, fallback: Fallback::Cpu };

fn device(pool: Pool, encodes: &[VideoCodec]) -> Device {
    Device {
        pool,
        name: "/dev/dri/renderD128".to_owned(),
        driver: None,
        offers: encodes.iter().copied().collect(),
        encodes: encodes.iter().copied().collect(),
        why_not: None,
    }
}

fn assigned(
    change: impl FnOnce(&mut Transcode),
    preference: Hardware,
    pool: Pool,
    devices: &[Device],
) -> Result<(Option<AssignedDevice>, Vec<String>), PlanRejection> {
    let mut transcode = Transcode::default();
    change(&mut transcode);
    let request = convert("o.mp4", vec![Operation::Transcode(transcode)]);
    let plan =
        plan(&request, Some(&[media_facts(video_facts())]), &Capabilities::everything()).unwrap();
    let (mut video, mut notes) = (plan.video.unwrap(), vec![]);
    assign_pool(&mut video, Some(preference), pool, devices, &mut notes)?;
    Ok((video.assigned, notes))
}

#[test]
fn a_device_with_the_codec_encodes_the_video() {
    let devices = [device(Pool::Nvenc, &[]), device(Pool::Vaapi, &[VideoCodec::H264])];
    let (device, notes) = assigned(|_| {}, VAAPI, Pool::Vaapi, &devices).unwrap();
    assert_eq!(device.unwrap().pool, Pool::Vaapi);
    assert!(notes[0].contains("vaapi on /dev/dri/renderD128"), "{notes:?}");
}

#[test]
fn an_unsupported_codec_falls_back_or_fails_as_requested() {
    let devices = [device(Pool::Vaapi, &[VideoCodec::H264])];
    let hevc = |t: &mut Transcode| t.video_codec = Some(VideoCodec::Hevc);
    let refusal = assigned(hevc, VAAPI, Pool::Vaapi, &devices).unwrap_err();
    assert_eq!(refusal.pointer, "#/hardware/prefer");
    let (on, notes) = assigned(hevc, OR_CPU, Pool::Vaapi, &devices).unwrap();
    assert_eq!(on, None);
    assert!(notes[0].contains("does not encode hevc here"), "{notes:?}");
    // A worker without the device: the dispatcher has fallen back to the CPU.
    let (on, notes) = assigned(|_| {}, OR_CPU, Pool::Cpu, &[]).unwrap();
    assert_eq!(on, None);
    assert!(notes[0].contains("no worker with it was available"), "{notes:?}");
    let deep = |t: &mut Transcode| t.pixel_format = Some("yuv422p".to_owned());
    assert!(assigned(deep, VAAPI, Pool::Vaapi, &devices).unwrap_err().detail.contains("yuv420p"));
}

#[test]
fn an_unavailable_pool_is_rejected_early_only_without_fallback() {
    assert_eq!(OR_CPU.check(&[]), Ok(()));
    let refusal =
        VAAPI.check(&[device(Pool::Vaapi, &[]), device(Pool::Nvenc, &[VideoCodec::H264])]);
    let refusal = refusal.unwrap_err();
    assert!(refusal.detail.contains("available are cpu, nvenc"), "{refusal}");
    assert_eq!(VAAPI.check(&[device(Pool::Vaapi, &[VideoCodec::H264])]), Ok(()));
}
