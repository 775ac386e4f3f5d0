//! `check-config`: reads a configuration as the daemon would, environment included, and runs nothing.

use inferd::config;
use serde_json::{Value, json};

use crate::cli::CheckConfig;
use crate::failure::Failure;
use crate::figures::counted;
use crate::output::Output;

pub(crate) fn check(what: &CheckConfig, output: &Output) -> Result<(), Failure> {
    let file = &what.file;
    match config::load(file, std::env::vars_os()) {
        Ok(config) => {
            let pipelines = counted(config.pipelines.len() as u64, "pipeline");
            output.show(&json!({"valid": true, "problems": []}), || format!("{}: good, {pipelines}", file.display()))
        }
        Err(problems) if output.is_json() => {
            let problems: Vec<Value> = problems
                .iter()
                .map(|problem| {
                    json!({"place": problem.place.to_string(), "key": problem.key, "message": problem.message})
                })
                .collect();
            output.show(&json!({"valid": false, "problems": problems}), String::new)?;
            Err(Failure::failed("the configuration is wrong").told())
        }
        Err(problems) => Err(Failure::failed(config::describe(&problems))),
    }
}
