//! Requests in text: `<command>[channel]<op>[value]`.

use super::request::{Action, Fault, Property, Request, Scope, Value};

/// Values that one line may hold.
const VALUES: usize = 8;

/// Reads one line, without its end. The faults are what the device answers instead.
pub(super) fn parse(line: &[u8]) -> Result<Request, Vec<Fault>> {
    let unknown = || vec![Fault::new(Fault::COMMAND, 0)];
    let line = std::str::from_utf8(line).map_err(|_| unknown())?.trim().to_ascii_uppercase();
    let op = line.find(['=', '?']).ok_or_else(unknown)?;
    let (head, tail) = line.split_at(op);
    let digits = head.find(|c: char| c.is_ascii_digit()).unwrap_or(head.len());
    let (name, number) = head.split_at(digits);
    let number = if number.is_empty() { None } else { Some(number.parse().map_err(|_| unknown())?) };
    let (property, scope) = address(name, number).ok_or_else(unknown)?;
    let action = if tail == "?" { Action::Read } else { action(tail, number.unwrap_or(0))? };
    let whole =
        matches!(scope, Scope::From(_)) || matches!(&action, Action::Write(values) if values.len() > 1);
    match (&action, scope) {
        (Action::Read, Scope::From(_)) => Err(unknown()),
        (Action::Write(_), scope) if whole && !matches!(scope, Scope::From(_)) => {
            Err(vec![Fault::new(Fault::PARAMETER, number.unwrap_or(0))])
        }
        _ => Ok(Request { property, scope, action }),
    }
}

fn address(name: &str, number: Option<usize>) -> Option<(Property, Scope)> {
    if let Some(property) = Property::of_name(name) {
        return Some((property, number.map_or(Scope::Unaddressed, Scope::Number)));
    }
    if let Some(property) = name.strip_suffix("ALL").and_then(Property::of_name) {
        return number.is_none().then_some((property, Scope::All));
    }
    let property = name.strip_suffix("VEC").and_then(Property::of_name)?;
    property.is_of_channels().then_some((property, Scope::From(number.unwrap_or(0))))
}

fn action(tail: &str, channel: usize) -> Result<Action, Vec<Fault>> {
    let refused = || vec![Fault::new(Fault::PARAMETER, channel)];
    let values = tail.strip_prefix('=').ok_or_else(refused)?;
    let values = values
        .split(',')
        .map(|value| decimal(value).map(Value::Decimal).ok_or_else(refused))
        .collect::<Result<Vec<_>, _>>()?;
    if values.len() > VALUES {
        return Err(vec![Fault::new(Fault::OVERFLOW, 0), Fault::new(Fault::SERIAL, 0)]);
    }
    Ok(Action::Write(values))
}

/// A plain decimal: no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_line_is_read_in_any_case() {
        let expected = Request {
            property: Property::Volts,
            scope: Scope::Number(3),
            action: Action::Write(vec![Value::Decimal(4.5)]),
        };
        assert_eq!(parse(b"v3=4.5").unwrap(), expected);
        assert_eq!(parse(b"V3=4.5").unwrap(), expected);
        let all = Request { property: Property::VoltsLimit, scope: Scope::All, action: Action::Read };
        assert_eq!(parse(b"vmaxall?").unwrap(), all);
    }

    #[test]
    fn sixteen_values_overflow_the_instruction() {
        let line = format!("vvec0={}", ["1.0"; 16].join(","));
        let faults: Vec<_> = parse(line.as_bytes()).unwrap_err().into_iter().map(Fault::text).collect();
        assert_eq!(faults, ["E14:00", "E15:00"]);
    }

    #[test]
    fn what_is_no_request_is_named() {
        for (line, code) in
            [("x", 10), ("v3=", 11), ("v3=1e0", 11), ("v3=1,2", 11), ("v3=?", 11), ("vv?", 10)]
        {
            assert_eq!(parse(line.as_bytes()).unwrap_err()[0].code, code, "{line}");
        }
    }
}
