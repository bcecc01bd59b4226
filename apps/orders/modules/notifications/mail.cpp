#include "orders/modules/notifications/mail.hpp"

#include <algorithm>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/base/utf8.hpp"

namespace holdfast::orders::notifications {
namespace {

constexpr std::size_t kMaxLine = 76;
constexpr std::size_t kMaxEncodedWordBytes = 42;  // 56 characters of base64, 68 with "=?UTF-8?B?" and "?="

bool plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 127; });
}

std::string without_line_ends(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = (c >= 0 && c < ' ') || c == 127 ? ' ' : c;
  return out;
}

/// "Name <address>" with the name encoded; quoted where it is ASCII with specials.
std::string encode_mailbox(std::string_view mailbox) {
  const std::string clean = without_line_ends(mailbox);
  const std::size_t open = clean.rfind('<');
  if (open == std::string::npos || open == 0) return clean;
  std::string name = clean.substr(0, open);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  if (!plain(name)) return encode_header_text(name) + " " + clean.substr(open);
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c);
  }
  return quoted + "\" " + clean.substr(open);
}

/// RFC 5322's date is HTTP's with another zone: "Sun, 06 Nov 1994 08:49:37 +0000".
std::string format_date(WallTime at) {
  std::string text = format_http_date(at);
  text.replace(text.size() - 3, 3, "+0000");
  return text;
}

/// Quoted-printable never has "=_" followed by anything but hex, so no part can hold the boundary.
std::string boundary_of(const Mail& mail) { return "=_holdfast_" + mail.id; }

void append_part(std::string& out, std::string_view boundary, std::string_view type, std::string_view body) {
  out.append("--").append(boundary).append("\r\nContent-Type: ").append(type);
  out.append("; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
  out.append(encode_quoted_printable(body)).append("\r\n");
}

}  // namespace

std::string_view address_of(std::string_view mailbox) {
  const std::size_t open = mailbox.rfind('<');
  if (open == std::string_view::npos) return mailbox;
  const std::size_t close = mailbox.find('>', open);
  return mailbox.substr(open + 1, close == std::string_view::npos ? close : close - open - 1);
}

std::string message_id(const Mail& mail) {
  const std::string_view address = address_of(mail.from);
  const std::size_t at = address.rfind('@');
  std::string domain(at == std::string_view::npos ? "holdfast.invalid" : address.substr(at + 1));
  return "<" + mail.id + "@" + domain + ">";
}

std::string encode(const Mail& mail) {
  const std::string boundary = boundary_of(mail);
  std::string out;
  out.reserve(1024 + 2 * (mail.text.size() + mail.html.size()));
  const auto header = [&](std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
  };
  header("Date", format_date(mail.date));
  header("From", encode_mailbox(mail.from));
  header("To", without_line_ends(mail.to));
  header("Subject", encode_header_text(mail.subject));
  header("Message-ID", message_id(mail));
  header("X-Holdfast-Order", without_line_ends(mail.order_id));
  header("Auto-Submitted", "auto-generated");  // RFC 3834: no vacation notes in answer, please
  header("MIME-Version", "1.0");
  header("Content-Type", "multipart/alternative; boundary=\"" + boundary + "\"");
  out.append("\r\n");
  append_part(out, boundary, "text/plain", mail.text);
  append_part(out, boundary, "text/html", mail.html);
  out.append("--").append(boundary).append("--\r\n");
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out.append("&amp;"); break;
      case '<': out.append("&lt;"); break;
      case '>': out.append("&gt;"); break;
      case '"': out.append("&quot;"); break;
      case '\'': out.append("&#39;"); break;
      default: out.push_back(c);
    }
  }
  return out;
}

std::string encode_header_text(std::string_view text) {
  const std::string clean = without_line_ends(text);
  // "=?" would be read as an encoded word's beginning, so it is encoded too.
  if (plain(clean) && clean.find("=?") == std::string::npos && clean.size() <= 200) return clean;
  std::string out;
  std::string_view rest = clean;
  while (!rest.empty()) {
    std::size_t size = 0;
    while (size < rest.size()) {  // whole characters only
      const std::size_t next = std::max<std::size_t>(utf8_sequence(rest.substr(size)), 1);
      if (size + next > kMaxEncodedWordBytes) break;
      size += next;
    }
    if (!out.empty()) out.append("\r\n ");
    out.append("=?UTF-8?B?").append(encode_base64(as_bytes(rest.substr(0, size)))).append("?=");
    rest.remove_prefix(size);
  }
  return out;
}

std::string encode_quoted_printable(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  std::size_t column = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' || (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n')) {
      if (c == '\r') ++i;
      out.append("\r\n");
      column = 0;
      continue;
    }
    const bool at_line_end = i + 1 == text.size() || text[i + 1] == '\n' || text[i + 1] == '\r';
    const bool literal =
        (c > ' ' && c < 127 && c != '=' && !(c == '.' && column == 0)) || (c == ' ' && !at_line_end);
    const std::size_t width = literal ? 1 : 3;
    if (column + width > kMaxLine - 1) {  // leaves room for the soft line break's '='
      out.append("=\r\n");
      column = 0;
    }
    if (literal && !(c == '.' && column == 0)) {
      out.push_back(c);
      column += 1;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.push_back('=');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
      column += 3;
    }
  }
  return out;
}

}  // namespace holdfast::orders::notifications
