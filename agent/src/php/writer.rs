//! Writes a value the way Cockpit's models are written: `var_export` with brackets, two spaces a level.

use super::{PhpArray, PhpError, PhpKey, PhpValue, read_file};

/// The text of a file that returns `value`, read again before it is handed out.
pub fn write_file(value: &PhpValue) -> Result<String, PhpError> {
    let mut text = String::from("<?php\n return ");
    write_value(value, 0, &mut text)?;
    text.push(';');
    if read_file(text.as_bytes())? != *value {
        return Err(PhpError::NotTheSame);
    }
    Ok(text)
}

fn write_value(value: &PhpValue, level: usize, text: &mut String) -> Result<(), PhpError> {
    match value {
        PhpValue::Null => text.push_str("NULL"),
        PhpValue::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        PhpValue::Integer(integer) => write_integer(*integer, text),
        PhpValue::Float(float) => write_float(*float, text)?,
        PhpValue::Text(string) => write_string(string, text),
        PhpValue::Array(array) => write_array(array, level, text)?,
    }
    Ok(())
}

fn write_array(array: &PhpArray, level: usize, text: &mut String) -> Result<(), PhpError> {
    let indentation = "  ".repeat(level);
    text.push_str("[\n");
    for (key, value) in array.entries() {
        text.push_str(&indentation);
        text.push_str("  ");
        match key {
            PhpKey::Integer(integer) => write_integer(*integer, text),
            PhpKey::Text(string) => write_string(string, text),
        }
        text.push_str(" => ");
        write_value(value, level + 1, text)?;
        text.push_str(",\n");
    }
    text.push_str(&indentation);
    text.push(']');
    Ok(())
}

/// The magnitude of the smallest integer is no integer to PHP.
fn write_integer(integer: i64, text: &mut String) {
    match integer {
        i64::MIN => text.push_str("-9223372036854775807-1"),
        _ => text.push_str(&integer.to_string()),
    }
}

fn write_string(string: &str, text: &mut String) {
    for (index, part) in string.split('\0').enumerate() {
        if index > 0 {
            text.push_str(" . \"\\0\" . ");
        }
        text.push('\'');
        text.push_str(&part.replace('\\', "\\\\").replace('\'', "\\'"));
        text.push('\'');
    }
}

/// The shortest digits that read back as the same float, laid out as PHP does with `serialize_precision = -1`.
fn write_float(float: f64, text: &mut String) -> Result<(), PhpError> {
    if !float.is_finite() {
        return Err(PhpError::NotWritable("a float that is not finite"));
    }
    if float.is_sign_negative() {
        text.push('-');
    }
    let scientific = format!("{:e}", float.abs());
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust writes an exponent when asked to");
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().expect("Rust writes exponents as integers");
    match exponent {
        -4..0 => {
            text.push_str("0.");
            text.extend((exponent..-1).map(|_| '0'));
            text.push_str(&digits);
        }
        0..17 => {
            let whole = usize::try_from(exponent).expect("the arm has no negative exponents") + 1;
            let padded = format!("{digits:0<whole$}");
            let (before, after) = padded.split_at(whole);
            text.push_str(before);
            text.push('.');
            text.push_str(if after.is_empty() { "0" } else { after });
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let rest = if rest.is_empty() { "0" } else { rest };
            let sign = if exponent < 0 { '-' } else { '+' };
            text.push_str(&format!("{first}.{rest}E{sign}{}", exponent.unsigned_abs()));
        }
    }
    Ok(())
}
