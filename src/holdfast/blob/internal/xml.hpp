// XML as S3 answers it, and nothing more: elements, text, the five entities and character references. No
// document type, no processing instruction but the first line, no CDATA, no comment: what has one is
// refused, so nothing can be expanded, fetched or hidden. Attributes are read past.
//
//   const XmlElement root = parse_xml(body);      // throws Error(unavailable, "blob_store_answer_malformed")
//   root.text_of("NextContinuationToken")
//
// Thread-safety: a value.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::blob {

struct XmlLimits {
  std::size_t max_bytes = 4 * 1024 * 1024;
  std::size_t max_depth = 8;
  std::size_t max_elements = 20'000;
};

struct XmlElement {
  std::string name;  ///< without a namespace's prefix
  std::string text;  ///< that stands directly in it, decoded
  std::vector<XmlElement> children;

  const XmlElement* find(std::string_view child) const noexcept;
  /// Empty where there is no such child.
  std::string_view text_of(std::string_view child) const noexcept;
};

XmlElement parse_xml(std::string_view text, const XmlLimits& limits = {});

/// `text` with the five characters that mean something escaped.
std::string escape_xml(std::string_view text);

}  // namespace holdfast::blob
