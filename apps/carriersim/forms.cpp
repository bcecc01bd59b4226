#include "carriersim/forms.hpp"

#include <charconv>
#include <chrono>

namespace holdfast::carriersim {

Form::Form(std::string_view body, std::string_view kind) : rest_(body) {
  if (text("FORM") != kind) throw BadForm("this is not the form " + std::string(kind));
}

std::string Form::text(std::string_view field) {
  const std::size_t end = rest_.find('\n');
  if (end == std::string_view::npos) throw BadForm("a line " + std::string(field) + " is missing");
  const std::string_view line = rest_.substr(0, end);
  if (!line.starts_with(field) || line.size() == field.size() || line[field.size()] != '=') {
    throw BadForm("a line " + std::string(field) + " should stand where there is another");
  }
  rest_.remove_prefix(end + 1);
  return std::string(line.substr(field.size() + 1));
}

std::int64_t Form::number(std::string_view field, std::int64_t most) {
  const std::string value = text(field);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || number < 0 || number > most) {
    throw BadForm(std::string(field) + " is no number up to " + std::to_string(most));
  }
  return number;
}

void Form::end() const {
  if (!rest_.empty()) throw BadForm("there are lines after the end of the form");
}

std::string ten_digits(std::int64_t number) {
  const std::string digits = std::to_string(number);
  return digits.size() >= 10 ? digits : std::string(10 - digits.size(), '0') + digits;
}

std::string answer_form(std::string_view code, std::string_view customer,
                        const std::vector<Sending>& sendings) {
  std::string out;
  const auto line = [&](std::string_view field, std::string_view value) {
    out.append(field).append("=").append(value).append("\r\n");  // as it does, for twenty years
  };
  line("FORM", "SNDANT");
  line("RC", code);
  line("KUNNR", customer);
  line("ANZSND", std::to_string(sendings.size()));
  for (const Sending& sending : sendings) {
    line("SNDNR", ten_digits(sending.number));
    line("XREF", sending.reference);
    line("BOLNR", sending.tracking);
    line("STATUS", sending.status);
    line("LFDAT", sending.delivery_date);
    line("ADRESSE", sending.address);
  }
  return out;
}

std::string fault_of_address(std::string_view address) {
  std::size_t pipes = 0;
  bool empty_street = address.empty() || address[0] == '|';
  for (std::size_t i = 0; i < address.size(); ++i) {
    if (address[i] == '|') ++pipes;
    if (address[i] != '\\') continue;
    if (++i == address.size()) return "ends with a backslash";
  }
  if (pipes != 3) return "does not have four parts";
  return empty_street ? "has no street" : "";
}

std::string date_after(std::int64_t at_microseconds, int days) {
  const std::chrono::sys_time<std::chrono::microseconds> at{std::chrono::microseconds(at_microseconds)};
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(at) + std::chrono::days(days)};
  const auto padded = [](unsigned number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  return std::to_string(static_cast<int>(date.year())) + "." + padded(static_cast<unsigned>(date.month())) +
         "." + padded(static_cast<unsigned>(date.day()));
}

}  // namespace holdfast::carriersim
