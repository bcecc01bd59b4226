#include "cli/invoices/mapped_csv.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "holdfast/base/csv.hpp"
#include "holdfast/base/error.hpp"

namespace holdfast::cli {

namespace {

constexpr std::size_t kChunkBytes = 64 * 1024;

struct Closer {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

}  // namespace

void read_mapped_csv(const std::string& path, const ColumnMapping& mapping,
                     std::initializer_list<Field> required, const MappedCsvCallbacks& callbacks) {
  const std::unique_ptr<std::FILE, Closer> file(std::fopen(path.c_str(), "rb"));
  if (!file) {
    throw Error(ErrorCode::invalid_argument, "Can't open " + path + ": " + std::strerror(errno) + ".")
        .reason("usage");
  }
  std::optional<FieldPositions> positions;
  CsvReader reader(
      [&](const CsvRecord& record) {
        if (!positions) {
          positions = mapping.resolve(record.fields, required);
        } else {
          callbacks.on_record({record.line, record.fields, *positions});
        }
      },
      [&](const CsvFault& fault) {
        if (!positions) {
          throw Error(ErrorCode::invalid_argument,
                      path + " does not begin with a line of column names: " + fault.message)
              .reason("usage");
        }
        callbacks.on_fault(fault.line, fault.code, fault.message);
      });
  std::array<char, kChunkBytes> chunk{};
  std::uint64_t bytes = 0;
  while (const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    reader.push({chunk.data(), got});
    bytes += got;
    if (callbacks.on_progress) callbacks.on_progress(bytes);
  }
  if (std::ferror(file.get()) != 0) {
    throw Error(ErrorCode::unavailable, "Reading " + path + " failed: " + std::strerror(errno) + ".");
  }
  reader.finish();
  if (!positions) throw Error(ErrorCode::invalid_argument, path + " is empty.").reason("usage");
}

std::uint64_t file_bytes(const std::string& path) noexcept {
  std::error_code failure;
  const auto size = std::filesystem::file_size(path, failure);
  return failure ? 0 : size;
}

}  // namespace holdfast::cli
