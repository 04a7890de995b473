// Files of lines that several processes append to.
#pragma once

#include <string>

namespace octet::harness {

/// Appends `line` and a newline with one write, so that killed and parallel processes leave only
/// whole lines; on a line that was left torn it begins anew. Throws std::runtime_error that names
/// the file and why it could not be written, with the file as it was: no half line remains.
void append_line(const std::string& path, const std::string& line);
/// Throws the same error, and writes nothing.
void require_appendable(const std::string& path);

}  // namespace octet::harness
