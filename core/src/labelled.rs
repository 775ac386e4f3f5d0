//! A prediction as people and programs read it: with labels in place of indices, best first, and never longer than
//! asked for. Outcome lines and `sample.json` both hold it, so that one reader understands both.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::prediction::{Detection, Prediction};

/// A prediction that serializes as an object with one of the keys `classes`, `boxes`, `anomaly`, `values`, `raw`.
/// Classes are sorted, best first. Where entries were left out, `total` says how many there were.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// What is written.
    pub prediction: &'a Prediction,
    /// The model's labels, by index; an index without one is written in digits.
    pub labels: &'a [String],
    /// Most classes that are written.
    pub max_classes: usize,
    /// Most boxes or values that are written.
    pub max_entries: usize,
}

#[derive(Debug, Serialize)]
struct Class<'a> {
    label: Cow<'a, str>,
    score: f32,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    label: Cow<'a, str>,
    score: f32,
    /// Left, top, right, bottom as parts of width and height, 0..=1.
    area: [f32; 4],
}

#[derive(Debug, Serialize)]
struct Value<'a> {
    label: Cow<'a, str>,
    value: f32,
}

impl Serialize for Labelled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let (total, limit) = match self.prediction {
            Prediction::Classes(scores) => {
                map.serialize_entry("classes", &self.best_classes(scores))?;
                (scores.len(), self.max_classes)
            }
            Prediction::Boxes(boxes) => {
                let found: Vec<_> = boxes.iter().take(self.max_entries).map(|found| self.found(found)).collect();
                map.serialize_entry("boxes", &found)?;
                (boxes.len(), self.max_entries)
            }
            Prediction::Anomaly(score) => {
                map.serialize_entry("anomaly", score)?;
                (1, 1)
            }
            Prediction::Values(values) => {
                map.serialize_entry("values", &self.values(values))?;
                (values.len(), self.max_entries)
            }
            Prediction::Raw(values) => {
                map.serialize_entry("raw", &values[..values.len().min(self.max_entries)])?;
                (values.len(), self.max_entries)
            }
        };
        if total > limit {
            map.serialize_entry("total", &total)?;
        }
        map.end()
    }
}

impl<'a> Labelled<'a> {
    fn best_classes(&self, scores: &[f32]) -> Vec<Class<'a>> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        let better = |&a: &usize, &b: &usize| scores[b].total_cmp(&scores[a]).then(a.cmp(&b));
        if self.max_classes < order.len() {
            order.select_nth_unstable_by(self.max_classes, better);
            order.truncate(self.max_classes);
        }
        order.sort_unstable_by(better);
        order.into_iter().map(|class| Class { label: self.label(class), score: scores[class] }).collect()
    }

    fn found(&self, found: &Detection) -> Found<'a> {
        Found { label: self.label(found.class as usize), score: found.score, area: found.area }
    }

    fn values(&self, values: &[f32]) -> Vec<Value<'a>> {
        let labelled = values.iter().take(self.max_entries).enumerate();
        labelled.map(|(index, &value)| Value { label: self.label(index), value }).collect()
    }

    fn label(&self, index: usize) -> Cow<'a, str> {
        self.labels.get(index).map_or_else(|| Cow::Owned(index.to_string()), |label| Cow::Borrowed(label.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(prediction: &Prediction, limit: usize) -> String {
        let labels = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let labelled = Labelled { prediction, labels: &labels, max_classes: limit, max_entries: limit };
        serde_json::to_string(&labelled).unwrap()
    }

    #[test]
    fn every_kind_of_prediction_has_its_key() {
        let found = Detection { class: 1, score: 0.5, area: [0.0, 0.25, 1.0, 0.5] };
        let cases = [
            (
                Prediction::Classes(vec![0.25, 0.5, 0.5]),
                r#"{"classes":[{"label":"b","score":0.5},{"label":"c","score":0.5}],"total":3}"#,
            ),
            (Prediction::Boxes(vec![found]), r#"{"boxes":[{"label":"b","score":0.5,"area":[0.0,0.25,1.0,0.5]}]}"#),
            (Prediction::Anomaly(1.5), r#"{"anomaly":1.5}"#),
            (Prediction::Values(vec![7.0]), r#"{"values":[{"label":"a","value":7.0}]}"#),
            (Prediction::Raw(vec![1.0, 2.0, 3.0]), r#"{"raw":[1.0,2.0],"total":3}"#),
        ];
        for (prediction, expected) in cases {
            assert_eq!(text(&prediction, 2), expected);
        }
    }

    #[test]
    fn an_index_without_a_label_is_written_in_digits() {
        assert_eq!(
            text(&Prediction::Classes(vec![0.0, 0.0, 0.0, 1.0]), 1),
            r#"{"classes":[{"label":"3","score":1.0}],"total":4}"#
        );
    }
}
