// Compresses answers for clients that take it (RFC 9110, 12.5.3): Brotli or gzip, by the q-values of
// Accept-Encoding. Left alone: small bodies, streams, what is compressed already, `no-transform`.
//
// A compressed body is other bytes, so its strong ETag gets a suffix ("…-br"); the suffix is taken off
// If-Match and If-None-Match again before anything inside sees them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/http/route.hpp"

namespace holdfast::http {

struct CompressionOptions {
  std::size_t min_bytes = 1024;             ///< smaller ones travel in one packet anyway
  std::size_t max_bytes = 2 * 1024 * 1024;  ///< larger ones would hold up the loop; make them streams
  int gzip_level = 5;                       ///< 1 to 9
  int brotli_quality = 4;                   ///< 0 to 11; past 5 it is slow
};

Middleware compression(CompressionOptions options = {});

enum class Coding : std::uint8_t { identity, gzip, brotli };

/// The best coding for an Accept-Encoding header; Brotli before gzip where they are wanted alike.
Coding choose_coding(std::string_view accept_encoding) noexcept;

std::string gzip_compressed(std::string_view bytes, int level);
std::string brotli_compressed(std::string_view bytes, int quality);

}  // namespace holdfast::http
