#include "cli/replay/state_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "holdfast/base/error.hpp"
#include "holdfast/base/reflect.hpp"

namespace holdfast::cli {

namespace {

struct Header {
  std::string kind;
  std::string url;
  std::string input;
};
HOLDFAST_DESCRIBE(Header, (kind, url, input))

struct Line {
  std::string invoice;
  std::string order_id;
  std::int64_t total_minor = 0;
  std::string currency;
  std::uint64_t lines_hash = 0;
};
HOLDFAST_DESCRIBE(Line, (invoice, order_id, total_minor, currency, lines_hash))

constexpr std::string_view kKind = "holdfast-replay-1";

Error not_usable(const std::string& path, std::string_view doing) {
  return Error(ErrorCode::unavailable,
               std::string(doing) + " " + path + " failed: " + std::strerror(errno) + ".");
}

}  // namespace

StateFile::StateFile(const std::string& path, std::string_view url, std::string_view input) : path_(path) {
  if (path.empty()) return;
  const std::string header = to_json(Header{std::string(kKind), std::string(url), std::string(input)});
  const std::uint64_t sound_bytes = load(header);
  std::error_code failure;
  if (sound_bytes > 0) std::filesystem::resize_file(path, sound_bytes, failure);  // a torn last line goes
  file_.reset(std::fopen(path.c_str(), "a"));
  if (!file_ || failure) throw not_usable(path, "Opening");
  if (sound_bytes == 0) {
    std::fputs((header + "\n").c_str(), file_.get());
    std::fflush(file_.get());
  }
}

StateFile::~StateFile() = default;

/// Reads what is there; returns the bytes up to the last whole line.
std::uint64_t StateFile::load(const std::string& header) {
  std::ifstream in(path_, std::ios::binary);
  std::string line;
  std::uint64_t bytes = 0;
  while (in && std::getline(in, line) && !in.eof()) {
    if (bytes == 0 && line != header) {
      throw Error(ErrorCode::invalid_argument,
                  path_ +
                      " is the state of another replay (another server or file), or no state file; name "
                      "another one with --state.")
          .reason("usage");
    }
    if (bytes > 0) take(line);
    bytes += line.size() + 1;
  }
  return bytes;
}

void StateFile::take(std::string_view text) {
  try {
    Line line = from_json<Line>(text);
    orders_[line.invoice] = {std::move(line.order_id), line.total_minor, std::move(line.currency),
                             line.lines_hash};
  } catch (const Error& error) {
    throw Error(ErrorCode::invalid_argument,
                path_ + " has a line that is none of a replay's: " + error.detail())
        .reason("usage");
  }
}

const Acknowledged* StateFile::find(const std::string& invoice) const noexcept {
  const auto found = orders_.find(invoice);
  return found == orders_.end() ? nullptr : &found->second;
}

void StateFile::add(const std::string& invoice, const Acknowledged& acknowledged) {
  orders_[invoice] = acknowledged;
  if (!file_) return;
  const std::string line = to_json(Line{invoice, acknowledged.order_id, acknowledged.total_minor,
                                        acknowledged.currency, acknowledged.lines_hash});
  std::fputs((line + "\n").c_str(), file_.get());
  std::fflush(file_.get());
}

void StateFile::close() {
  if (!file_) return;
  const bool sound =
      std::ferror(file_.get()) == 0 && std::fflush(file_.get()) == 0 && ::fsync(::fileno(file_.get())) == 0;
  file_.reset();
  if (!sound) throw not_usable(path_, "Writing");
}

}  // namespace holdfast::cli
