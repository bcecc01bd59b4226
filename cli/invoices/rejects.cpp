#include "cli/invoices/rejects.hpp"

#include <cerrno>
#include <cstring>

#include "holdfast/base/csv.hpp"
#include "holdfast/base/error.hpp"

namespace holdfast::cli {

namespace {

Error not_writable(const std::string& path) {
  return Error(ErrorCode::unavailable,
               "The rejected lines can't be written to " + path + ": " + std::strerror(errno) + ".");
}

}  // namespace

Rejects::Rejects(const std::string& path) : path_(path) {
  if (path.empty()) return;
  file_.reset(std::fopen(path.c_str(), "w"));
  if (!file_) throw not_writable(path);
  std::fputs("line,reason,detail,record\r\n", file_.get());
}

void Rejects::add(std::uint64_t line, std::string_view reason, std::string detail,
                  std::span<const std::string_view> fields) {
  ++total_;
  ++by_reason_[std::string(reason)];
  if (file_) {
    std::string record;
    CsvWriter original(record);
    for (const std::string_view field : fields) original.field(field);
    std::string text;
    CsvWriter writer(text);
    writer.field(std::to_string(line)).field(reason).field(detail).field(record);
    writer.end_record();
    std::fwrite(text.data(), 1, text.size(), file_.get());
  }
  if (first_.size() < kShown) first_.push_back({line, std::string(reason), std::move(detail)});
}

void Rejects::close() {
  if (!file_) return;
  const bool sound = std::ferror(file_.get()) == 0 && std::fflush(file_.get()) == 0;
  file_.reset();
  if (!sound) throw not_writable(path_);
}

}  // namespace holdfast::cli
