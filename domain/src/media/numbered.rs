/// A file name pattern with one number placeholder, like `frame-%04d.png`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered<'a> {
    before: &'a str,
    digits: usize,
    after: &'a str,
}

impl<'a> Numbered<'a> {
    /// Parses a pattern; `None` if it does not have exactly one placeholder.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (before, rest) = name.split_once('%')?;
        let (digits, after) = rest.split_once('d')?;
        let valid = digits.is_empty() || digits.starts_with('0') && digits.len() == 2;
        let digits = if digits.is_empty() { 1 } else { digits.parse().ok()? };
        (valid && !after.contains('%')).then_some(Self { before, digits, after })
    }

    /// The file name with this number.
    pub fn name(&self, number: u64) -> String {
        format!("{}{number:0width$}{}", self.before, self.after, width = self.digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_is_replaced_by_the_number() {
        assert_eq!(Numbered::parse("f-%03d.png").unwrap().name(7), "f-007.png");
        assert_eq!(Numbered::parse("%d.jpg").unwrap().name(12), "12.jpg");
        for none in ["f.png", "100%.png", "%s.png", "%d-%d.png", "%999d.png"] {
            assert_eq!(Numbered::parse(none), None, "{none}");
        }
    }
}
