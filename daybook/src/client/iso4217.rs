//! ISO 4217: minor units of the currencies in use, so that `USD` may stand for `USD/2`.

use ledger_core::asset::Asset;

use super::failure::{Failure, did_you_mean};

const NONE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const TWO: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD \
     BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR \
     FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD \
     KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN \
     NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS \
     SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD \
     XCG YER ZAR ZMW ZWG";
const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
const FOUR: &str = "CLF UYW";

/// The exponent of an ISO 4217 code.
pub fn exponent(code: &str) -> Option<u8> {
    let has = |list: &str| list.split_whitespace().any(|own| own == code);
    [(NONE, 0), (TWO, 2), (THREE, 3), (FOUR, 4)]
        .into_iter()
        .find(|(list, _)| has(list))
        .map(|(_, exponent)| exponent)
}

/// Reads `USD/2`, or `USD` where ISO 4217 knows the code.
///
/// # Errors
/// A usage failure that says what to write.
pub fn asset(text: &str) -> Result<Asset, Failure> {
    if text.contains('/') {
        return Asset::parse(text).map_err(|invalid| Failure::usage(invalid.to_string()));
    }
    match exponent(text) {
        Some(exponent) => {
            Asset::new(text, exponent.into()).map_err(|e| Failure::usage(e.to_string()))
        }
        None => {
            let all = [NONE, TWO, THREE, FOUR];
            let near = did_you_mean(text, all.into_iter().flat_map(str::split_whitespace));
            let failure = Failure::usage(format!(
                "{text:?} is not an ISO 4217 code; other assets are written with the number of \
                 decimal places of their minor unit, as in BTC/8 or POINTS/0"
            ));
            Err(match near {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_codes_need_no_exponent_and_others_do() {
        assert_eq!(asset("USD").unwrap().to_string(), "USD/2");
        assert_eq!(asset("JPY").unwrap().to_string(), "JPY/0");
        assert_eq!(asset("KWD").unwrap().to_string(), "KWD/3");
        assert_eq!(asset("BTC/8").unwrap().to_string(), "BTC/8");
        assert!(asset("BTC").unwrap_err().message.contains("BTC/8"));
        assert_eq!(asset("usd").unwrap_err().hints, ["did you mean USD?"]);
    }
}
