use figment::{
    Error, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

/// Settings that have another name now: section, former name, name.
const RENAMED: [(&str, &str, &str); 2] = [
    ("gateway", "strangers_per_minute", "anonymous_per_minute"),
    ("gateway", "look", "inspection"),
];

/// A source of settings that may use their former names.
pub(super) struct RenamedSettings<P>(pub(super) P);

impl<P: Provider> Provider for RenamedSettings<P> {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut profiles = self.0.data()?;
        for settings in profiles.values_mut() {
            for (section, former, name) in RENAMED {
                let Some(Value::Dict(_, section)) = settings.get_mut(section) else { continue };
                if let Some(value) = section.remove(former) {
                    section.entry(name.to_owned()).or_insert(value);
                }
            }
        }
        Ok(profiles)
    }

    fn profile(&self) -> Option<Profile> {
        self.0.profile()
    }
}

#[cfg(test)]
mod tests {
    use ffapi_gateway::OnFailure;
    use figment::{
        Figment,
        providers::{Format, Serialized, Toml},
    };

    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Config {
        let defaults = Figment::from(Serialized::defaults(Config::default()));
        defaults.merge(RenamedSettings(Toml::string(text))).extract().unwrap()
    }

    #[test]
    fn former_names_of_settings_are_read() {
        let former = "[gateway]\nstrangers_per_minute = 5\n[gateway.look]\non_failure = \"refuse\"";
        let gateway = read(former).gateway;
        assert_eq!(gateway.anonymous_per_minute, 5);
        assert_eq!(gateway.inspection.on_failure, OnFailure::Refuse);
        let both = "[gateway]\nstrangers_per_minute = 5\nanonymous_per_minute = 6";
        assert_eq!(read(both).gateway.anonymous_per_minute, 6);
    }
}
