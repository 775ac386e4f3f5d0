//! `complete-names`: names that a shell completes, one a line. Silent and quick: whoever presses Tab wants no error.

use std::time::Duration;

use crate::cli::BusKind;
use crate::client::Client;
use crate::completions::{CompleteNames, What};
use crate::failure::Failure;
use crate::output::Output;
use crate::view::Everything;

/// A person waits with a finger on Tab.
const WITHIN: Duration = Duration::from_secs(2);

pub(crate) async fn names(what: &CompleteNames, bus: BusKind, output: &Output) -> Result<(), Failure> {
    let asked = async { Everything::read(&Client::connect(bus).await?).await };
    let Ok(Ok(everything)) = tokio::time::timeout(WITHIN, asked).await else { return Ok(()) };
    let names = found(what, &everything);
    if names.is_empty() { Ok(()) } else { output.line(&names.join("\n")) }
}

fn found(what: &CompleteNames, everything: &Everything) -> Vec<String> {
    let models = || everything.models.iter();
    match what.what {
        What::Pipelines => everything.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect(),
        What::Models => models().map(|model| model.name.clone()).collect(),
        What::Versions => models()
            .filter(|model| what.model.as_ref().is_some_and(|name| name.as_str() == model.name))
            .flat_map(|model| model.versions.iter().map(|version| version.version.clone()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn each_kind_of_name_is_listed_and_versions_of_the_model_only() {
        let ask = |what, model: Option<&str>| {
            let model = model.map(|name| name.parse().unwrap());
            found(&CompleteNames { what, model }, &fixture::everything())
        };
        assert_eq!(ask(What::Pipelines, None), ["belt", "door"]);
        assert_eq!(ask(What::Models, None), ["belt-inspect"]);
        assert_eq!(ask(What::Versions, Some("belt-inspect")), ["1.0.0", "1.1.0", "2.0.0"]);
        assert!(ask(What::Versions, Some("other")).is_empty());
        assert!(ask(What::Versions, None).is_empty());
    }
}
