// The carrier's forms, from its own side: lines of NAME=value in a fixed order. Knows nothing of who calls.
//
//   Form form(body, "SNDNEU");                        // throws BadForm
//   form.text("KUNNR"), form.number("ANZPOS")        // in the order of the form
//
// Thread-safety: values.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::carriersim {

/// What was sent is not the form it should be. Answered with RC=06.
class BadForm : public std::exception {
 public:
  explicit BadForm(std::string what) : what_(std::move(what)) {}
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

class Form {
 public:
  /// Of `body`, which outlives it.
  Form(std::string_view body, std::string_view kind);

  /// The value of the next line, which must be that field's.
  std::string text(std::string_view field);
  /// Digits only, `most` at most.
  std::int64_t number(std::string_view field, std::int64_t most);
  /// Throws where lines are left.
  void end() const;

 private:
  std::string_view rest_;
};

/// A shipment as it is written down.
struct Sending {
  std::int64_t number = 0;
  std::string customer;
  std::string reference;
  std::string tracking;
  std::string status;
  std::string delivery_date;
  std::string address;
};

/// FORM=SNDANT with a return code and the shipments.
std::string answer_form(std::string_view code, std::string_view customer,
                        const std::vector<Sending>& sendings);

/// Ten digits: "0080001234".
std::string ten_digits(std::int64_t number);

/// What is wrong with an address of four parts between pipes; empty: nothing.
std::string fault_of_address(std::string_view address);

/// "2026.01.05": `days` after the Unix day of `at_microseconds`.
std::string date_after(std::int64_t at_microseconds, int days);

}  // namespace holdfast::carriersim
