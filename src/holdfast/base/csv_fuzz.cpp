// Any bytes, in any chunks: the same records, each within its limits, and what is written reads back.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "holdfast/base/csv.hpp"

namespace {

constexpr holdfast::CsvOptions kOptions{
    .max_field_bytes = 64, .max_record_bytes = 256, .max_columns = 16, .same_columns = false};

/// Every record written again, one fault a '!' line.
std::string read(std::string_view text, std::size_t chunk_bytes) {
  std::string out;
  holdfast::CsvWriter writer(out);
  holdfast::CsvReader reader(
      [&](const holdfast::CsvRecord& record) {
        if (record.fields.empty() || record.fields.size() > kOptions.max_columns) std::abort();
        for (const auto field : record.fields) {
          if (field.size() > kOptions.max_field_bytes) std::abort();
        }
        writer.record(record.fields);
      },
      [&](const holdfast::CsvFault& fault) {
        if (fault.code.empty() || fault.line == 0) std::abort();
        out += "!\r\n";
      },
      kOptions);
  for (std::size_t at = 0; at < text.size(); at += chunk_bytes) reader.push(text.substr(at, chunk_bytes));
  reader.finish();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string whole = read(text, size + 1);
  if (read(text, 1) != whole || read(text, 7) != whole) std::abort();
  return 0;
}
