use serde_path_to_error::Segment;

/// A path as a JSON pointer.
pub(super) fn pointer<'p>(path: impl Iterator<Item = &'p Segment>) -> String {
    let segments = path.filter_map(|segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    segments.collect()
}
