// A mail with a text and an HTML part, and its form on the wire: RFC 5322 headers, RFC 2047 encoded words
// for what is not ASCII, multipart/alternative with quoted-printable parts, CRLF, lines of at most 76
// characters. No header can be ended by what is put into it. (Part of notifications.hpp.)
//
// Thread-safety: pure functions and values.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/base/clock.hpp"

namespace holdfast::orders::notifications {

struct Mail {
  std::string id;  ///< unique and stable: names its file, makes its Message-ID
  std::string order_id;
  std::string from;  ///< "Name <address>" or an address
  std::string to;    ///< an address
  std::string subject;
  std::string text;
  std::string html;
  WallTime date;
};

/// "<id@domain of from>", stable.
std::string message_id(const Mail& mail);

/// The whole message. The same mail always gives the same bytes.
std::string encode(const Mail& mail);

/// &, <, >, " and ' as references.
std::string escape_html(std::string_view text);

/// RFC 2047, B encoding in pieces of at most 75 characters; `text` itself where it is plain ASCII.
std::string encode_header_text(std::string_view text);

/// RFC 2045, 6.7; line ends become CRLF.
std::string encode_quoted_printable(std::string_view text);

/// "orders@shop.example" of "Shop <orders@shop.example>".
std::string_view address_of(std::string_view mailbox);

}  // namespace holdfast::orders::notifications
