//! Reads the API's JSON field by field. Only what an operation needs is required; everything else may be missing, null
//! or of another type than documented. Each item of a list is read separately, so that one that cannot be decoded does not
//! affect the others.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::text;

/// The most characters of a value of an enum that the operator does not know.
const NAME: usize = 60;

/// An object of an answer.
pub(super) trait Item: Sized {
    /// Reads the object; none if it lacks a required field.
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self>;
}

/// The objects of a list.
#[allow(clippy::struct_field_names, reason = "they are the items")]
pub(super) struct AnswerItems<T> {
    /// Those whose needed fields were decoded.
    pub items: Vec<T>,
    /// How many were not understood in full: those left out, and those that lack a documented field.
    pub odd: usize,
    /// How many were left out.
    pub unread: usize,
}

/// Reads the objects of a list, each for itself.
pub(super) fn items<T: Item>(list: &[Value]) -> AnswerItems<T> {
    let mut all = AnswerItems {
        items: Vec::with_capacity(list.len()),
        odd: 0,
        unread: 0,
    };
    for value in list {
        let (item, odd) = item(value);
        all.odd += usize::from(odd);
        all.unread += usize::from(item.is_none());
        all.items.extend(item);
    }
    all
}

/// Reads one object, and whether a part of it was not understood.
pub(super) fn item<T: Item>(value: &Value) -> (Option<T>, bool) {
    let Some(mut fields) = AnswerFields::of(value) else {
        return (None, true);
    };
    let item = T::read(&mut fields);
    let odd = item.is_none() || fields.odd;
    (item, odd)
}

/// The fields of an object.
pub(super) struct AnswerFields<'a> {
    map: &'a Map<String, Value>,
    /// Whether a documented field is missing or of another type.
    odd: bool,
}

impl<'a> AnswerFields<'a> {
    /// The fields of a JSON object; none of another value.
    pub fn of(value: &'a Value) -> Option<Self> {
        value.as_object().map(|map| Self { map, odd: false })
    }

    /// A value that the document requires; none when it is missing or null.
    fn required(&mut self, name: &str) -> Option<&'a Value> {
        let value = self.optional(name);
        self.odd |= value.is_none();
        value
    }

    /// A value that may be missing.
    pub fn optional(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A value that was understood, or none.
    fn understood<T>(&mut self, value: Option<T>) -> Option<T> {
        self.odd |= value.is_none();
        value
    }

    /// A text that the document requires, and that is not empty.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let text = self.required(name).and_then(text_of).filter(|text| !text.is_empty());
        self.understood(text)
    }

    /// A text that may be missing.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        let value = self.optional(name)?;
        self.understood(text_of(value))
    }

    /// A value of an enum that keeps the values it does not know; none when it is no text.
    pub fn name<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        let read = serde_json::from_value(Value::String(text::line(&text, NAME))).ok();
        self.understood(read)
    }

    /// A name that may be missing.
    pub fn optional_name<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        self.optional(name)?;
        self.name(name)
    }

    /// True or false; some proxies and older versions write it as text or as a number.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let read = match self.required(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Some(false),
            Value::Number(number) => number.as_u64().filter(|number| *number < 2).map(|number| number == 1),
            _ => None,
        };
        self.understood(read)
    }

    /// A flag that may be missing.
    pub fn optional_flag(&mut self, name: &str) -> Option<bool> {
        self.optional(name)?;
        self.flag(name)
    }

    /// A number, which may be written as text.
    pub fn number(&mut self, name: &str) -> Option<Number> {
        let read = match self.required(name)? {
            Value::Number(number) => Some(number.clone()),
            Value::String(text) => serde_json::from_str(text.trim()).ok(),
            _ => None,
        };
        self.understood(read)
    }

    /// A number that may be missing.
    pub fn optional_number(&mut self, name: &str) -> Option<Number> {
        self.optional(name)?;
        self.number(name)
    }

    /// A whole number that is not negative: the document says `number`, so `3` may come as `3.0`.
    pub fn whole(&mut self, name: &str) -> Option<u32> {
        let number = self.number(name)?;
        let exact = number.as_u64().and_then(|number| u32::try_from(number).ok());
        let rounded = || {
            let float = number
                .as_f64()
                .filter(|float| (0.0..1e9).contains(float) && float.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        };
        let read = exact.or_else(rounded);
        self.understood(read)
    }

    /// A time.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        self.understood(time_of(&text))
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Option<AnswerFields<'a>> {
        let read = self.required(name).and_then(AnswerFields::of);
        self.understood(read)
    }

    /// An object that may be missing.
    pub fn optional_object(&mut self, name: &str) -> Option<AnswerFields<'a>> {
        self.optional(name)?;
        self.object(name)
    }

    /// A list; empty when it is missing or none.
    pub fn list(&mut self, name: &str) -> &'a [Value] {
        let read = self.required(name).and_then(Value::as_array);
        self.understood(read).map(Vec::as_slice).unwrap_or_default()
    }

    /// The objects of a list.
    pub fn items<T: Item>(&mut self, name: &str) -> Vec<T> {
        let read = items(self.list(name));
        self.odd |= read.odd > 0;
        read.items
    }

    /// One object.
    pub fn item<T: Item>(&mut self, name: &str) -> Option<T> {
        let (read, odd) = item(self.required(name)?);
        self.odd |= odd;
        read
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// With or without an offset from UTC.
fn time_of(text: &str) -> Option<Timestamp> {
    let civil = || {
        let time: DateTime = text.parse().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    text.parse().ok().or_else(civil)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::supabase::types::ProjectState;

    #[test]
    fn a_value_is_read_in_each_form_that_it_may_have() {
        let object = json!({
            "text": "a", "numeric": 3, "empty": "", "null": null, "list": [1], "yes": "True", "no": 0, "two": 2,
            "amount": "0.0206", "real": 3.0, "half": 3.5, "huge": 1e12, "port": "6543",
            "time": "2023-07-14T05:59:16Z", "civil": "2023-07-14T05:59:16.25", "never": "soon",
        });
        let mut fields = AnswerFields::of(&object).unwrap();
        assert_eq!(fields.text("text").as_deref(), Some("a"));
        assert_eq!(fields.text("numeric").as_deref(), Some("3"));
        assert_eq!((fields.flag("yes"), fields.flag("no")), (Some(true), Some(false)));
        assert_eq!(fields.number("amount").unwrap().to_string(), "0.0206");
        assert_eq!((fields.whole("real"), fields.whole("port")), (Some(3), Some(6543)));
        assert_eq!(fields.time("time").unwrap().to_string(), "2023-07-14T05:59:16Z");
        assert_eq!(fields.time("civil").unwrap().to_string(), "2023-07-14T05:59:16.25Z");
        assert_eq!(fields.optional_text("absent"), None);
        assert_eq!(fields.optional_number("null"), None);
        assert!(!fields.odd, "nothing was odd so far");
        for odd in ["empty", "null", "absent", "list"] {
            let mut fields = AnswerFields::of(&object).unwrap();
            assert!(fields.text(odd).is_none() && fields.odd, "{odd}");
        }
        for odd in ["half", "huge", "text", "null"] {
            let mut fields = AnswerFields::of(&object).unwrap();
            assert!(fields.whole(odd).is_none() && fields.odd, "{odd}");
        }
        let mut fields = AnswerFields::of(&object).unwrap();
        assert!(fields.flag("two").is_none() && fields.time("never").is_none());
        assert!(fields.list("text").is_empty() && fields.odd);
        assert!(AnswerFields::of(&json!([])).is_none() && AnswerFields::of(&json!("{}")).is_none());
    }

    #[test]
    fn a_value_that_is_new_is_kept_on_one_short_line() {
        let object = json!({"status": format!("A\nB{}", "C".repeat(100)), "odd": {"a": 1}});
        let mut fields = AnswerFields::of(&object).unwrap();
        let Some(ProjectState::Other(status)) = fields.name("status") else {
            panic!("unknown");
        };
        assert!(
            status.starts_with("A BC") && status.chars().count() == NAME + 1,
            "{status}"
        );
        assert_eq!(fields.name::<ProjectState>("odd"), None);
    }
}
