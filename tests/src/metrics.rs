//! Reading the metrics endpoint as Prometheus does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// A scrape's text.
#[derive(Clone, Debug)]
pub struct Scrape(pub String);

/// Families by name: the type, and the names of the labels but for those of the type itself.
pub type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// The families in the table of `docs/metrics.md`.
pub fn documented(page: &str) -> Families {
    let row = |row: &str| {
        let (series, rest) = row.split_once("` | ")?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        Some((name.to_owned(), (rest.split(' ').next()?.to_owned(), labels.map(str::to_owned).collect())))
    };
    page.lines().filter_map(|line| row(line.strip_prefix("| `")?)).collect()
}

impl Scrape {
    /// The families that are in it.
    pub fn families(&self) -> Families {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let mut families: Families =
            types.map(|(name, kind)| (name.to_owned(), (kind.to_owned(), BTreeSet::new()))).collect();
        for (series, labels) in self.0.lines().filter_map(|line| line.split_once('{')) {
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| series.strip_suffix(suffix));
            let name = of_histogram.filter(|name| families.contains_key(*name)).unwrap_or(series);
            let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0));
            if let Some((_, labels)) = families.get_mut(name) {
                labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
            }
        }
        families
    }

    /// The value of the series with this name and these labels (any order, others ignored); `None` where there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.values(name, labels).next()
    }

    /// The sum over all series with this name and these labels; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.values(name, labels).sum()
    }

    fn values(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        let has = |line: &str| labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")));
        let is =
            move |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && has(line);
        self.0.lines().filter(is).filter_map(|line| line.rsplit(' ').next()?.parse().ok())
    }
}

/// Fetches `http://HOST:PORT/PATH`; gives the status and the body.
///
/// # Errors
/// Where nobody answers.
pub fn get(url: &str) -> anyhow::Result<(u16, String)> {
    let rest = url.strip_prefix("http://").context("plain HTTP is expected")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of headers")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    Ok((status, body.to_owned()))
}

/// Fetches metrics.
///
/// # Errors
/// Where the answer is not 200.
pub fn scrape(url: &str) -> anyhow::Result<Scrape> {
    let (status, body) = get(url)?;
    ensure!(status == 200, "{url} answered {status}: {body}");
    Ok(Scrape(body))
}
